/**
 * @file Who a certificate speaks for: one SAN URI, `spiffe://FARM/coordinator`,
 * `spiffe://FARM/node/ID` or `spiffe://FARM/user/NAME`.
 *
 * Names of hosts say nothing about a role, so that a node's certificate never passes for the
 * coordinator's.
 */

export type Role = "coordinator" | "node" | "user";

export interface Identity {
  /** Name of the farm: certificates of another farm are refused. */
  readonly farm: string;
  readonly role: Role;
  /** A node's id, a user's name, "" of the coordinator. */
  readonly name: string;
}

const LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?";
/** A DNS label: names of farms, nodes and users. */
export const LABEL_PATTERN = new RegExp(`^${LABEL}$`);
const URI_PATTERN = new RegExp(
  `^URI:spiffe://(${LABEL})/(?:(coordinator)|(node|user)/(${LABEL}))$`,
);

export function identityUri({ farm, role, name }: Identity): string {
  return `spiffe://${farm}/${role === "coordinator" ? role : `${role}/${name}`}`;
}

/**
 * @param subjectAltName as Node writes it: "DNS:localhost, URI:spiffe://farm/coordinator". A name
 *   with a comma or a quote in it comes in quotes, and so never looks like a URI of ours.
 * @returns null unless it names exactly one URI, and that is one of ours
 */
export function readIdentity(subjectAltName: string | undefined): Identity | null {
  const uris = (subjectAltName ?? "").split(", ").filter((name) => name.startsWith("URI:"));
  const [, farm, coordinator, role, name] = URI_PATTERN.exec(uris[0] ?? "") ?? [];
  if (uris.length !== 1 || farm === undefined) return null;
  if (coordinator !== undefined) return { farm, role: "coordinator", name: "" };
  return { farm, role: role as Role, name: name ?? "" };
}
