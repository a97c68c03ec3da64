/**
 * @file Keys of users: `rf_<id>_<secret>`. The farm keeps the sha256 of the secret only; at 256 random
 * bits a fast hash is enough, since there is nothing to guess.
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import type { Scope } from "./scopes.js";

export interface ApiKey {
  /** 12 of [a-z0-9]; no secret, names the key in lists and in the audit log. */
  readonly id: string;
  /** Of the secret, in hex. */
  readonly sha256: string;
  readonly owner: string;
  readonly scopes: readonly Scope[];
  /** Milliseconds since 1970, as the other times. */
  readonly createdAtMs: number;
  /** Null: it does not expire. */
  readonly expiresAtMs: number | null;
  /** Null: it is good. */
  readonly revokedAtMs: number | null;
}

export type KeyState = "good" | "expired" | "revoked";

export function stateOf({ expiresAtMs, revokedAtMs }: ApiKey, nowMs: number): KeyState {
  if (revokedAtMs !== null) return "revoked";
  return expiresAtMs !== null && expiresAtMs <= nowMs ? "expired" : "good";
}

const ID_BYTES = 6;
const SECRET_BYTES = 32;
const TOKEN_PATTERN = /^rf_([a-f0-9]{12})_([A-Za-z0-9_-]{43})$/;

/** A new key, and the token that is shown once and never kept. */
export function newApiKey(given: {
  readonly owner: string;
  readonly scopes: readonly Scope[];
  readonly nowMs: number;
  readonly expiresAtMs: number | null;
}): { readonly key: ApiKey; readonly token: string } {
  const { owner, scopes, nowMs, expiresAtMs } = given;
  const id = randomBytes(ID_BYTES).toString("hex");
  const secret = randomBytes(SECRET_BYTES).toString("base64url");
  const sha256 = hashOf(secret).toString("hex");
  const times = { createdAtMs: nowMs, expiresAtMs, revokedAtMs: null };
  return { key: { id, sha256, owner, scopes, ...times }, token: `rf_${id}_${secret}` };
}

/** Whether a text has the form of a token. */
export function isToken(text: string): boolean {
  return TOKEN_PATTERN.test(text);
}

/** Compared when no key has the id, so that the time it takes does not tell. */
const NOBODY = hashOf("").toString("hex");

/** The key that a token shows, in whatever state; null when it shows none. */
export function keyOfToken(token: string, keys: ReadonlyMap<string, ApiKey>): ApiKey | null {
  const [, id, secret] = TOKEN_PATTERN.exec(token) ?? [];
  if (id === undefined || secret === undefined) return null;
  const key = keys.get(id);
  const isRight = timingSafeEqual(hashOf(secret), Buffer.from(key?.sha256 ?? NOBODY, "hex"));
  return isRight && key ? key : null;
}

function hashOf(secret: string): Buffer {
  return createHash("sha256").update(secret).digest();
}
