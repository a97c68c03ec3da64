/** @file What a user's key may be good for. */

export const SCOPES = ["submit", "read", "cancel", "admin"] as const;
/**
 * submit: send jobs and inputs, change one's own · read: look at them and fetch files · cancel: stop
 * and delete them · admin: all of it, of every owner, and the farm itself.
 */
export type Scope = (typeof SCOPES)[number];

/** Whether a key with these scopes may do what asks for one; "admin" is all of them. */
export function allows(scopes: readonly Scope[], wanted: Scope): boolean {
  return scopes.includes(wanted) || scopes.includes("admin");
}
