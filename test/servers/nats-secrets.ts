/** @file What a test's NATS server and its clients know each other by: certificates and keys of users. */
import { nkeys } from "nats";
import {
  type FarmNames,
  type NatsRole,
  type RolePermissions,
  rolePermissions,
} from "../../shared/adapters/nats/nats-names.js";
import { createAuthority, issueLeaf, type KeyPair } from "../../shared/adapters/tls/authority.js";
import type { NatsUser } from "./nats-config.js";

const ROLES: readonly NatsRole[] = ["coordinator", "node", "observer"];
const DAY_MS = 86_400_000;

export interface NatsSecrets {
  /** PEM of the root of both certificates. */
  readonly ca: string;
  readonly server: KeyPair;
  /** What a client shows where it is asked. */
  readonly client: KeyPair;
  /** One whose time was over a day ago. */
  readonly endedClient: KeyPair;
  readonly users: readonly NatsUser[];
  readonly seeds: ReadonlyMap<NatsRole, string>;
  /** Of a user who may do everything, which no program of a farm may. */
  readonly adminSeed: string;
}

/** New ones of everything. */
export async function makeNatsSecrets(farms: readonly FarmNames[]): Promise<NatsSecrets> {
  return { ...(await makeCertificates()), ...makeUsers(farms) };
}

type Certificates = Pick<NatsSecrets, "ca" | "server" | "client" | "endedClient">;

/** For loopback, signed by a root of their own. */
async function makeCertificates(): Promise<Certificates> {
  const nowMs = Date.now();
  const from = (startMs: number, endMs: number) => ({
    ...{ notBefore: new Date(nowMs + startMs), notAfter: new Date(nowMs + endMs) },
  });
  const validity = from(-2 * DAY_MS, DAY_MS);
  const root = await createAuthority("test", validity);
  const identity = { farm: "test", role: "node", name: "nats" } as const;
  const hosts = ["127.0.0.1", "localhost"];
  const issue = (times: typeof validity) => issueLeaf(root, { ...times, identity, hosts });
  return {
    ca: root.certificate,
    server: await issue(validity),
    client: await issue(validity),
    endedClient: await issue(from(-2 * DAY_MS, -DAY_MS)),
  };
}

function makeUsers(
  farms: readonly FarmNames[],
): Pick<NatsSecrets, "users" | "seeds" | "adminSeed"> {
  const keys = ROLES.map((role) => ({ role, pair: nkeys.createUser() }));
  const admin = nkeys.createUser();
  const everything = { publish: [">"], subscribe: [">"] };
  const users = [
    ...keys.map(({ role, pair }) => ({
      nkey: pair.getPublicKey(),
      permissions: permissionsFor(role, farms),
    })),
    { nkey: admin.getPublicKey(), permissions: everything },
  ];
  const textOf = (seed: Uint8Array) => new TextDecoder().decode(seed);
  const seeds = new Map(keys.map(({ role, pair }) => [role, textOf(pair.getSeed())]));
  return { users, seeds, adminSeed: textOf(admin.getSeed()) };
}

function permissionsFor(role: NatsRole, farms: readonly FarmNames[]): RolePermissions {
  const each = farms.map((names) => rolePermissions(role, names));
  return {
    publish: [...new Set(each.flatMap(({ publish }) => publish))],
    subscribe: [...new Set(each.flatMap(({ subscribe }) => subscribe))],
  };
}
