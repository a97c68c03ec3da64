/** @file Who makes a call, once it is known. */
import type { Scope } from "../../shared/access/scopes.js";

export type Caller =
  /** A farm of one machine without keys: whoever reaches it is its owner. */
  | { readonly kind: "open" }
  | {
      readonly kind: "user";
      readonly keyId: string;
      /** Whose jobs are theirs; from the key, never from a request. */
      readonly owner: string;
      readonly scopes: readonly Scope[];
    }
  | {
      readonly kind: "node";
      readonly nodeId: string;
      /** End of its certificate, milliseconds since 1970. */
      readonly endsAtMs: number;
    }
  | { readonly kind: "anyone" };

/** Whoever reaches a farm that asks for no identity. */
export const OWNER_OF_ALL: Caller = { kind: "open" };

/** The owner whose jobs alone a caller may see; null: every owner's. */
export function ownerSeenBy(caller: Caller): string | null {
  if (caller.kind === "open") return null;
  if (caller.kind !== "user") return "";
  return caller.scopes.includes("admin") ? null : caller.owner;
}

/** The owner under whom a caller sends; null: whom the request names. */
export function senderOf(caller: Caller): string | null {
  return caller.kind === "user" ? caller.owner : null;
}
