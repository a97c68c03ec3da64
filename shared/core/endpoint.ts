/** @file host:port, and which hosts are this machine. */

/** @param address host:port, the host in brackets where it is an IPv6 address */
export function endpointOf(address: string): { host: string; port: number } {
  const colon = address.lastIndexOf(":");
  const host = address.slice(0, colon).replace(/^\[(.*)\]$/, "$1");
  return { host, port: Number(address.slice(colon + 1)) };
}

const LOOPBACK_HOSTS = ["127.0.0.1", "localhost", "::1"];

/** Whether nobody on another machine can reach what listens there. */
export function isLoopback(address: string): boolean {
  return LOOPBACK_HOSTS.includes(endpointOf(address).host);
}
