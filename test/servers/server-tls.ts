/** @file Certificates for servers on loopback, each with a root of its own. */
import { createAuthority, issueLeaf, type KeyPair } from "../../shared/adapters/tls/authority.js";

/** A certificate for 127.0.0.1, its key and who signed it, as PEM. */
export interface ServerTls extends KeyPair {
  readonly ca: string;
}

const DAY_MS = 86_400_000;

/** @param endsInMs of the certificate, from now; below 0: it has ended */
export async function makeServerTls(endsInMs = DAY_MS): Promise<ServerTls> {
  const until = (ms: number) => ({
    ...{ notBefore: new Date(Date.now() - 2 * DAY_MS), notAfter: new Date(Date.now() + ms) },
  });
  const root = await createAuthority("test", until(DAY_MS));
  const identity = { farm: "test", role: "coordinator", name: "server" } as const;
  const hosts = ["127.0.0.1", "localhost"];
  const leaf = await issueLeaf(root, { ...until(endsInMs), identity, hosts });
  return { ...leaf, ca: root.certificate };
}
