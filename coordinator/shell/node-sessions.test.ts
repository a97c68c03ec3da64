import { expect, test } from "vitest";
import { ManualClock } from "../../shared/adapters/clock/manual-clock.js";
import type { NodeOrder } from "../../shared/adapters/grpc/node-codec.js";
import { MemoryJournal } from "../../shared/adapters/memory/memory-journal.js";
import { HEARTBEAT_MS, LEASE_MS } from "../plan/limits.js";
import type { NodeInfo } from "../plan/node.js";
import { FarmLoop, POLICY_DEFAULT } from "./farm-loop.js";
import type { NodeStream } from "./node-sessions.js";
import { NodeSessions } from "./node-sessions.js";

const model = {
  digest: "d",
  name: "demo",
  numFrames: 14,
  sampleSize: 16,
  vaeScaleFactor: 4,
  latentChannels: 4,
  numTrainTimesteps: 1000,
  stepRule: "as-asked" as const,
};
const node = (bootId: string): NodeInfo => ({
  nodeId: "a",
  bootId,
  model,
  provider: "cpu",
  planHash: "p",
  busAddress: "a:1",
  busToken: "t",
  hasFfmpeg: true,
  memoryBytes: 16 * 2 ** 30,
  prefers: "any",
});

class RecordedStream implements NodeStream {
  readonly sent: NodeOrder[] = [];
  readonly closed: string[] = [];
  send(order: NodeOrder): void {
    this.sent.push(order);
  }
  close(reason: string): void {
    this.closed.push(reason);
  }
}

async function world() {
  const loop = new FarmLoop(new MemoryJournal(), () => 0, POLICY_DEFAULT);
  const clock = new ManualClock();
  const sessions = new NodeSessions(loop, clock, (error) => {
    throw error;
  });
  await loop.start((effect) => {
    if (effect.kind !== "publish" && effect.kind !== "sweep") sessions.execute(effect);
  });
  sessions.start();
  return { loop, clock, sessions, present: () => [...loop.farm.nodes.keys()] };
}

test("a node that speaks stays, one that is silent for a lease is lost", async () => {
  const { clock, sessions, present } = await world();
  const stream = new RecordedStream();
  sessions.join(node("one"), stream);
  clock.advance(LEASE_MS - HEARTBEAT_MS);
  expect(sessions.heard("a", stream)).toBe(true);
  clock.advance(LEASE_MS - HEARTBEAT_MS);
  expect(present()).toEqual(["a"]);
  clock.advance(HEARTBEAT_MS);
  expect(present()).toEqual([]);
  expect(stream.closed).toHaveLength(1);
});

test("a node is lost when its lease ends, whenever it was heard last", async () => {
  const { clock, sessions, present } = await world();
  const stream = new RecordedStream();
  sessions.join(node("one"), stream);
  clock.advance(HEARTBEAT_MS / 3);
  sessions.heard("a", stream);
  clock.advance(LEASE_MS - 1);
  expect(present()).toEqual(["a"]);
  clock.advance(1);
  expect(present()).toEqual([]);
});

test("the newest stream of a node counts; the older one is closed and no longer heard", async () => {
  const { sessions, present } = await world();
  const older = new RecordedStream();
  const newer = new RecordedStream();
  sessions.join(node("one"), older);
  sessions.join(node("one"), newer);
  expect(older.closed).toHaveLength(1);
  expect(sessions.heard("a", older)).toBe(false);
  sessions.leave("a", older);
  expect(present()).toEqual(["a"]);
  sessions.leave("a", newer);
  expect(present()).toEqual([]);
});

test("an order that the farm has moved on from is not sent", async () => {
  const { sessions } = await world();
  const stream = new RecordedStream();
  sessions.join(node("one"), stream);
  sessions.execute({
    kind: "continue-alone",
    nodeId: "a",
    taskId: "gone",
    epoch: 1,
    newEpoch: 2,
  });
  expect(stream.sent).toEqual([]);
});
