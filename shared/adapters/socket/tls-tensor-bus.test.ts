/** The tensor bus over TLS: the contract of every bus, and whom a channel takes for its partner. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import type { Partner } from "../../farm/work.js";
import { silentLog } from "../../ports/log.js";
import { ChannelEnd, tensorBusContract } from "../../ports/tensor-bus.contract.js";
import { ManualClock } from "../clock/manual-clock.js";
import { AuthorityFolder } from "../tls/authority-folder.js";
import { BusTls } from "../tls/bus-tls.js";
import { TlsFiles } from "../tls/tls-files.js";
import { SocketTensorBus } from "./socket-tensor-bus.js";

const HOUR_MS = 3_600_000;
const clock = new ManualClock();
const parts = { role: "node", clock, wallMs: Date.now, log: silentLog } as const;

let folder: string;
/** By node id. */
const files = new Map<string, TlsFiles>();
const buses: SocketTensorBus[] = [];
let a: SocketTensorBus;
let b: SocketTensorBus;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "farm-bus-"));
  const root = { farm: "test", lifeMs: HOUR_MS, nowMs: Date.now };
  const certs = await AuthorityFolder.create(folder, root);
  for (const name of ["a", "b", "c"]) {
    const { paths } = await certs.issue({ role: "node", name }, { lifeMs: HOUR_MS });
    files.set(name, new TlsFiles(paths, parts));
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function listen(nodeId: string): Promise<SocketTensorBus> {
  const tls = new BusTls(files.get(nodeId)!);
  const bus = await SocketTensorBus.listen({ token: `token of ${nodeId}`, clock, tls });
  buses.push(bus);
  return bus;
}

beforeEach(async () => {
  a = await listen("a");
  b = await listen("b");
});
afterEach(async () => {
  await Promise.all(buses.splice(0).map((bus) => bus.close()));
});

const partnerOf = (bus: SocketTensorBus, nodeId: string): Partner => ({
  ...{ nodeId, busAddress: bus.address, busToken: bus.token },
});

test.each(tensorBusContract)("SocketTensorBus over TLS %s", async (_name, check) => {
  await check({
    a: { bus: a, partner: partnerOf(b, "b") },
    b: { bus: b, partner: partnerOf(a, "a") },
    settle: () => clock.advance(2_000),
  });
});

test("a node that answers in the partner's place is lost", async () => {
  const c = await listen("c");
  const end = new ChannelEnd({ bus: a, partner: partnerOf(c, "b") }, "pair");
  await end.until(() => end.lost.length > 0);
  expect(end.lost).toEqual(["node b is lost: its certificate is not that of node b"]);
});

test("a node that knows the token and is not the partner is refused", async () => {
  const c = await listen("c");
  const right = new ChannelEnd({ bus: b, partner: partnerOf(a, "a") }, "pair");
  const intruder = new ChannelEnd({ bus: c, partner: partnerOf(b, "b") }, "pair");
  while (!b.counts.has("connections_refused_identity")) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(right.frames).toEqual([]);
  intruder.channel.close();
  right.channel.close();
});

test("without TLS no other host than loopback is listened on", async () => {
  await expect(SocketTensorBus.listen({ token: "t", clock, host: "0.0.0.0" })).rejects.toThrow(
    /0\.0\.0\.0 to be loopback without TLS/,
  );
});
