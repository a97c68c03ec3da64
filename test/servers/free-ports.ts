/** @file Ports for servers that are told theirs and may take them a while later. */
import { randomInt } from "node:crypto";
import { createServer } from "node:net";

/**
 * Below those that systems hand out by themselves (Linux from 32768, others from 49152): a connection
 * or a server of any other test must not take a port in between.
 */
const FIRST = 20_000;
const LAST = 31_999;
/** Each of the processes that run tests side by side begins in a part of its own. */
const PARTS = 8;
const PART_SIZE = (LAST - FIRST + 1) / PARTS;

const part = Number(process.env["VITEST_POOL_ID"] ?? randomInt(PARTS)) % PARTS;
let next = FIRST + part * PART_SIZE + randomInt(PART_SIZE);

/**
 * A port of this machine that nobody listens on now, and that this process was not given lately.
 *
 * @throws Error when every port of the range is taken
 */
export async function freePort(): Promise<number> {
  for (let looked = 0; looked <= LAST - FIRST; looked++) {
    const port = next;
    next = port === LAST ? FIRST : port + 1;
    if (await isFree(port)) return port;
  }
  throw new Error(`every port from ${FIRST} to ${LAST} is taken`);
}

/** As many different ones. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) ports.push(await freePort());
  return ports;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.on("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
