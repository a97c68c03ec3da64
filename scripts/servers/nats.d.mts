/** A nats-server that can be used: null where there is none, and then why. */
export function findNatsServer(options?: { readonly install?: boolean }): {
  readonly path: string | null;
  readonly reason: string | null;
};
