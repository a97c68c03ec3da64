import { describe, expect, test } from "vitest";
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
  isResumed = false;
  resume(): void {
    this.isResumed = true;
  }
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

describe("a stream that renews one", () => {
  const CANCEL = { kind: "cancel", taskId: "t", epoch: 1 } as const;

  async function renewing() {
    const parts = await world();
    const older = new RecordedStream();
    const newer = new RecordedStream();
    parts.sessions.join(node("one"), older);
    const joined = parts.loop.farm.nodes.get("a");
    expect(parts.sessions.renew("a", "one", newer)).toBe(true);
    const isUntouched = () => parts.loop.farm.nodes.get("a") === joined;
    return { ...parts, older, newer, isUntouched };
  }

  test("follows once the older one was read to its end, and the farm hears of nothing", async () => {
    const { sessions, older, newer, isUntouched } = await renewing();
    sessions.execute({ ...CANCEL, nodeId: "a" });
    expect(sessions.heard("a", newer)).toBe(false);
    expect(sessions.heard("a", older)).toBe(true);
    sessions.finish("a", older);
    sessions.execute({ ...CANCEL, nodeId: "a", epoch: 2 });
    expect([older.sent, newer.sent]).toEqual([[CANCEL], [{ ...CANCEL, epoch: 2 }]]);
    expect(sessions.heard("a", newer)).toBe(true);
    expect(sessions.heard("a", older)).toBe(false);
    sessions.leave("a", older);
    expect(newer.isResumed && isUntouched()).toBe(true);
    expect([older.closed, newer.closed]).toEqual([[], []]);
  });

  test("a node that said that it stops is still one that stops", async () => {
    const { loop, sessions, older, newer } = await renewing();
    sessions.stopping("a", older);
    sessions.finish("a", older);
    sessions.leave("a", newer);
    expect(loop.farm.nodeRecords.get("a")?.lostAtMs ?? []).toEqual([]);
  });

  test("is refused where there is no stream of that boot: its work is void", async () => {
    const { sessions, older, isUntouched } = await renewing();
    expect(sessions.renew("a", "two", new RecordedStream())).toBe(false);
    expect(sessions.renew("b", "one", new RecordedStream())).toBe(false);
    expect(older.closed).toEqual([]);
    expect(isUntouched()).toBe(true);
  });

  test("does not save a node whose older one breaks off: what was said there may be lost", async () => {
    const { sessions, older, newer, present } = await renewing();
    sessions.leave("a", older);
    expect(present()).toEqual([]);
    expect(newer.closed).toEqual([expect.stringContaining("broke off")]);
    expect(sessions.heard("a", newer)).toBe(false);
  });

  test("changes nothing when it breaks off itself, or another one comes in its place", async () => {
    const { sessions, older, newer, present, isUntouched } = await renewing();
    const third = new RecordedStream();
    sessions.renew("a", "one", third);
    expect(newer.closed).toHaveLength(1);
    sessions.leave("a", newer);
    sessions.leave("a", third);
    expect(sessions.heard("a", older)).toBe(true);
    expect(isUntouched()).toBe(true);
    sessions.finish("a", older);
    expect(present()).toEqual([]);
  });

  test("is closed with the older one, when the node is silent, says hello anew, or all ends", async () => {
    const silent = await renewing();
    silent.clock.advance(LEASE_MS);
    const anew = await renewing();
    anew.sessions.join(node("two"), new RecordedStream());
    const ended = await renewing();
    ended.sessions.stop();
    for (const { older, newer } of [silent, anew, ended]) {
      expect([older.closed.length, newer.closed.length]).toEqual([1, 1]);
    }
  });
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
