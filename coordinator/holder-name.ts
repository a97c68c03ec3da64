/** @file What a coordinator is called where it leads a farm. */
import { randomBytes } from "node:crypto";
import { hostname } from "node:os";

/**
 * A name for people that is this start's own: a container that starts again has the address, the
 * host name and the process number of the one before, and must not take that one's lease for its.
 *
 * @param listen HOST:PORT
 */
export function holderName(listen: string): string {
  const start = randomBytes(4).toString("hex");
  return `${listen} (${hostname()}, process ${process.pid}, start ${start})`;
}
