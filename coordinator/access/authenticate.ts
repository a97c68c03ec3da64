/** @file From what a call shows (a key, a certificate) to who makes it, or why it is refused. Pure. */
import type { ApiKey, KeyState } from "../../shared/access/api-key.js";
import { allows } from "../../shared/access/scopes.js";
import { type Identity, readIdentity } from "../../shared/adapters/tls/identity.js";
import { FarmError } from "../../shared/core/errors.js";
import type { Caller } from "./caller.js";
import type { Rule } from "./scopes.js";

/** A client certificate that a root of the farm issued, as Node shows it. */
export interface ShownCertificate {
  readonly subjectaltname?: string;
  /** E.g. "Nov 23 03:23:56 2026 GMT". */
  readonly valid_to: string;
}

/** What a call shows of its maker. */
export interface Shown {
  /** The header "authorization", or null. */
  readonly authorization: string | null;
  readonly certificate: ShownCertificate | null;
}

export interface Surroundings {
  /** Name of this farm. */
  readonly farm: string;
  readonly findKey: (token: string) => { readonly key: ApiKey; readonly state: KeyState } | null;
  /** Milliseconds since 1970. */
  readonly nowMs: number;
}

const BEARER = "Bearer ";

/**
 * @param rule undefined for a call that nobody has thought about
 * @throws FarmError "unauthenticated" or "permission-denied"
 */
export function authenticate(rule: Rule | undefined, shown: Shown, around: Surroundings): Caller {
  if (rule === undefined) throw new FarmError("permission-denied", "this call is open to nobody");
  switch (rule.who) {
    case "anyone":
      return { kind: "anyone" };
    case "node":
      return authenticateNode(shown, around);
    case "user":
      return authenticateUser(rule, shown, around);
  }
}

function authenticateNode({ certificate }: Shown, around: Surroundings): Caller {
  const identity = certificate && identityOf(certificate, around);
  if (!identity) {
    throw new FarmError("unauthenticated", "nodes show a certificate of this farm; none was shown");
  }
  if (identity.role !== "node") {
    const detail = `the certificate is a ${identity.role}'s; only nodes serve here`;
    throw new FarmError("permission-denied", detail);
  }
  const endsAtMs = Date.parse(certificate.valid_to);
  return { kind: "node", nodeId: identity.name, endsAtMs };
}

function authenticateUser(
  rule: Extract<Rule, { who: "user" }>,
  { authorization, certificate }: Shown,
  around: Surroundings,
): Caller {
  const identity = certificate && identityOf(certificate, around);
  if (certificate && !identity) {
    throw new FarmError("unauthenticated", "the certificate has ended, or is none of this farm's");
  }
  if (identity && identity.role !== "user") {
    const detail = `the certificate is a ${identity.role}'s; this call is for users`;
    throw new FarmError("permission-denied", detail);
  }
  if (!authorization?.startsWith(BEARER)) {
    const detail = "no key came with the call; give --token or set RENDERFARM_TOKEN";
    throw new FarmError("unauthenticated", detail);
  }
  const found = around.findKey(authorization.slice(BEARER.length));
  if (!found) throw new FarmError("unauthenticated", "the key is none of this farm's");
  const { key, state } = found;
  if (state !== "good") throw new FarmError("unauthenticated", `the key ${key.id} is ${state}`);
  if (identity && identity.name !== key.owner) {
    const detail = `the certificate is ${identity.name}'s and the key is not`;
    throw new FarmError("permission-denied", detail);
  }
  if (!allows(key.scopes, rule.scope)) {
    const detail = `the key ${key.id} has not the scope "${rule.scope}", which this call needs`;
    throw new FarmError("permission-denied", detail);
  }
  return { kind: "user", keyId: key.id, owner: key.owner, scopes: key.scopes };
}

/** Null unless it is of this farm and has not ended: a connection may be older than that. */
function identityOf(
  { subjectaltname, valid_to }: ShownCertificate,
  { farm, nowMs }: Surroundings,
): Identity | null {
  const identity = readIdentity(subjectaltname);
  return identity?.farm === farm && Date.parse(valid_to) > nowMs ? identity : null;
}
