import { status } from "@grpc/grpc-js";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ManualClock } from "../../shared/adapters/clock/manual-clock.js";
import type { Output } from "../../shared/farm/work.js";
import { NodeLink } from "./node-link.js";
import {
  type Call,
  HASH,
  identity,
  JOB,
  ScriptedCoordinator,
  TASK,
  WELCOME,
} from "./node-link-coordinator.js";

const progress = (stepsDone: number) =>
  ({ kind: "progress", stepsDone, secondsPerStep: 0.5 }) as const;

let clock: ManualClock;
let coordinator: ScriptedCoordinator;
let link: NodeLink;
let log: string[];

const until = (condition: () => boolean) => coordinator.until(condition);

function note(line: string): void {
  log.push(line);
  coordinator.wake();
}

/** Connects a link; resolves once the node was welcomed. */
async function connected(): Promise<void> {
  link.start();
  await until(() => log.includes("up"));
}

const kinds = () => coordinator.heard.map((message) => message.kind);

beforeEach(async () => {
  clock = new ManualClock();
  coordinator = new ScriptedCoordinator();
  log = [];
  await coordinator.listen();
  link = new NodeLink({
    addresses: [coordinator.address],
    identity,
    clock,
    random: () => 0,
    onUp: () => note("up"),
    onOrder: (order) => note(order.kind),
    onDown: (reason, wasUp) => note(`${wasUp ? "down" : "not up"}: ${reason}`),
  });
});
afterEach(() => {
  link.close();
  coordinator.stop();
});

test("says hello first, and is up with the welcome", async () => {
  await connected();
  expect(coordinator.heard).toEqual([{ kind: "hello", identity }]);
});

test("beats at the interval of the welcome", async () => {
  await connected();
  for (let beat = 1; beat <= 3; beat++) {
    clock.advance(999);
    expect(kinds()).toHaveLength(beat);
    clock.advance(1);
    await until(() => kinds().length === beat + 1);
  }
  expect(kinds()).toEqual(["hello", "heartbeat", "heartbeat", "heartbeat"]);
});

test("hands on orders, and sends reports with task and epoch", async () => {
  await connected();
  coordinator.tell({ kind: "cancel", taskId: TASK, epoch: 2 });
  coordinator.tell({ kind: "continue-alone", taskId: TASK, epoch: 2, newEpoch: 3 });
  coordinator.tell({ kind: "yield", taskId: TASK, epoch: 3 });
  await until(() => log.length === 4);
  expect(log).toEqual(["up", "cancel", "continue-alone", "yield"]);
  link.report(TASK, 3, progress(4));
  await until(() => kinds().includes("report"));
  expect(coordinator.heard.at(-1)).toEqual({
    kind: "report",
    taskId: TASK,
    epoch: 3,
    report: progress(4),
  });
});

test("anything heard renews the lease; silence for all of it stops the work and dials again", async () => {
  await connected();
  clock.advance(4_999);
  coordinator.tell({ kind: "heartbeat-ack" });
  coordinator.tell({ kind: "cancel", taskId: TASK, epoch: 1 });
  await until(() => log.includes("cancel"));
  clock.advance(4_999);
  expect(log).toEqual(["up", "cancel"]);
  clock.advance(1);
  expect(log).toEqual(["up", "cancel", "down: nothing was heard for 5000 ms"]);
  await until(() => coordinator.ended.length === 1);
  clock.advance(100);
  await until(() => log.length === 4);
  expect(log.at(-1)).toBe("up");
  const hellos = coordinator.heard.filter((message) => message.kind === "hello");
  expect(hellos).toEqual([
    { kind: "hello", identity },
    { kind: "hello", identity },
  ]);
});

test("a process that slept beyond its lease obeys no order that waited for it", async () => {
  await connected();
  // Time passes with no timer firing, as for a stopped process; then the order is read first.
  const nowMs = clock.nowMs();
  clock.nowMs = () => nowMs + 6_000;
  coordinator.tell({ kind: "cancel", taskId: TASK, epoch: 1 });
  await until(() => log.length === 2);
  expect(log[1]).toBe("down: nothing was heard for 5000 ms");
});

const DOWN = "down: nothing was heard for 5000 ms";
/** What may come first when a process wakes that was stopped for longer than its lease. */
const wakings: [name: string, act: () => void][] = [
  ["a report", () => link.report(TASK, 1, progress(1))],
  ["a look at the lease before a frame is sent", () => expect(link.holdsLease()).toBe(false)],
  ["the end of the process", () => void link.stopping()],
];
test.each(wakings)("after a sleep beyond the lease %s fences first", async (_name, act) => {
  await connected();
  const nowMs = clock.nowMs();
  clock.nowMs = () => nowMs + 6_000;
  act();
  expect(log).toEqual(["up", DOWN]);
  await until(() => coordinator.ended.length === 1);
  expect(kinds()).toEqual(["hello"]);
});

test("after a sleep beyond the lease the heartbeat that is due is not sent: it fences first", async () => {
  await connected();
  // As for a process that was stopped: the clock is far ahead when the first timer fires.
  const nowMs = clock.nowMs();
  const advance = clock.advance.bind(clock);
  clock.nowMs = () => nowMs + 6_000;
  advance(1_000);
  expect(log).toEqual(["up", DOWN]);
  await until(() => coordinator.ended.length === 1);
  expect(kinds()).toEqual(["hello"]);
});

test("holds a lease from the welcome to the end of the stream", async () => {
  expect(link.holdsLease()).toBe(false);
  await connected();
  expect(link.holdsLease()).toBe(true);
  clock.advance(4_999);
  expect(link.holdsLease()).toBe(true);
  link.close();
  expect(link.holdsLease()).toBe(false);
});

test("a node that stops says so, still takes orders and sends reports, and leaves behind them", async () => {
  await connected();
  let isAlone = false;
  const alone = link.stopping().then(() => {
    isAlone = true;
  });
  await until(() => kinds().includes("stopping"));
  coordinator.tell({ kind: "yield", taskId: TASK, epoch: 1 });
  await until(() => log.includes("yield"));
  expect(isAlone).toBe(false);
  link.report(TASK, 1, { kind: "yielded", checkpoint: null });
  link.leave();
  await alone;
  expect(kinds()).toEqual(["hello", "stopping", "report"]);
  expect(coordinator.ended).toEqual([0]);
  clock.advance(60_000);
  expect([log, clock.pendingCount]).toEqual([["up", "yield"], 0]);
});

test("a node that stops and loses its coordinator is alone, and dials no more", async () => {
  await connected();
  const alone = link.stopping();
  coordinator.stop();
  await alone;
  expect(log[1]).toMatch(/^down: /);
  expect(clock.pendingCount).toBe(0);
});

test("a node that stops before it was welcomed is alone at once", async () => {
  coordinator.onConnect = () => {};
  link.start();
  await until(() => kinds().length === 1);
  await link.stopping();
  expect(kinds()).toEqual(["hello"]);
});

test("a coordinator that goes away and comes back finds the node again", async () => {
  await connected();
  const port = Number(coordinator.address.split(":")[1]);
  coordinator.stop();
  await until(() => log.length === 2);
  expect(log[1]).toMatch(/^down: /);
  // Every failed dial waits twice as long as the one before, up to five seconds (half of it here).
  for (const delayMs of [100, 200, 400, 800, 1_600, 2_500, 2_500]) {
    const downs = log.length;
    clock.advance(delayMs - 1);
    expect(log).toHaveLength(downs);
    clock.advance(1);
    await until(() => log.length === downs + 1);
    expect(log.at(-1)).toMatch(/ECONNREFUSED/);
  }
  await coordinator.listen(port);
  clock.advance(2_500);
  await until(() => log.at(-1) === "up");
});

const ends: [name: string, end: (call: Call) => void, reason: RegExp][] = [
  ["ends the stream", (call) => call.end(), /ended the stream/],
  [
    "refuses the node",
    (call) => call.emit("error", { code: status.INVALID_ARGUMENT, details: "hello.node_id" }),
    /INVALID_ARGUMENT: hello\.node_id/,
  ],
  [
    "says something before the welcome",
    (call) => coordinator.tell({ kind: "heartbeat-ack" }, call),
    /heartbeat-ack before the welcome/,
  ],
  [
    "sends an order that is none",
    (call) => {
      coordinator.tell(WELCOME, call);
      call.write({ order: { $case: "cancel", value: { taskId: "../x", epoch: 1 } } });
    },
    /cancel\.task_id/,
  ],
];

test.each(ends)(
  "a coordinator that %s: the node is down once, and dials again",
  async (_, end, reason) => {
    coordinator.onConnect = end;
    link.start();
    await until(() => log.some((line) => line.includes(": ")));
    expect(log.at(-1)).toMatch(reason);
    expect(log.filter((line) => line.includes(": "))).toHaveLength(1);
    coordinator.onConnect = (call) => coordinator.tell(WELCOME, call);
    clock.advance(100);
    await until(() => log.at(-1) === "up");
  },
);

test("a coordinator that says nothing is given ten seconds", async () => {
  coordinator.onConnect = () => {};
  link.start();
  await until(() => kinds().length === 1);
  clock.advance(9_999);
  expect(log).toEqual([]);
  clock.advance(1);
  expect(log).toEqual(["not up: no welcome within 10000 ms"]);
});

test("a result too long for a control message fails its task, not the stream", async () => {
  await connected();
  const blob = { key: `v1/${JOB}/0/out-1/frame.png`, sha256: HASH, size: 1 };
  const outputs = Array.from({ length: 1_000 }, (_, i): Output => {
    return { format: "png", fileName: `frame-${i}.png`, blob };
  });
  const result = { blob: null, outputs, seconds: 1, secondsPerStep: 0 };
  link.report(TASK, 1, { kind: "finished", result });
  await until(() => kinds().includes("report"));
  expect(coordinator.heard.at(-1)).toMatchObject({
    report: { kind: "failed", code: "invalid-argument" },
  });
});

test("close ends the stream and dials no more", async () => {
  await connected();
  link.close();
  await until(() => coordinator.ended.length === 1);
  clock.advance(60_000);
  expect(log).toEqual(["up"]);
  expect(clock.pendingCount).toBe(0);
});
