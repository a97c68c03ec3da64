import { beforeEach, expect, test } from "vitest";
import { ManualClock } from "../../shared/adapters/clock/manual-clock.js";
import { FarmError } from "../../shared/core/errors.js";
import type { ChildRuntime, ChildRuntimeOptions } from "../runtime/child-runtime.js";
import type { RuntimeInfo } from "../runtime/runtime-info.js";
import { SupervisedRuntime } from "./supervised-runtime.js";

const GRAPH = { module: "image_encoder" } as const;
const died = new FarmError("runtime-failed", "signal SIGKILL");

/** A child whose deaths, restarts and runs the test decides. */
class FakeChild implements ChildRuntime {
  readonly info = { ortVersion: "1" } as RuntimeInfo;
  readonly pid = 1;
  readonly runs: { resolve: () => void; reject: (error: unknown) => void }[] = [];
  readonly restarts: { resolve: () => void; reject: (error: unknown) => void }[] = [];
  readonly calls: string[] = [];
  die!: (reason: FarmError) => void;

  run(): Promise<Record<string, never>> {
    return new Promise((resolve, reject) => {
      this.runs.push({ resolve: () => resolve({}), reject });
    });
  }

  restart(): Promise<void> {
    return new Promise((resolve, reject) => this.restarts.push({ resolve, reject }));
  }

  kill(): void {
    this.calls.push("kill");
    for (const run of this.runs) run.reject(died);
  }

  async close(): Promise<void> {
    this.calls.push("close");
  }
}

let child: FakeChild;
let clock: ManualClock;
let log: string[];

const turn = () => new Promise((resolve) => setImmediate(resolve));

function started(): Promise<SupervisedRuntime> {
  return SupervisedRuntime.start({
    child: { checkpointDir: "x", provider: "cpu", intraOpThreads: 1 },
    clock,
    onRestart: (reason) => log.push(`restart: ${reason.detail}`),
    onGone: (reason) => log.push(`gone: ${reason.detail}`),
    start: async ({ onDeath }: ChildRuntimeOptions) => {
      child.die = onDeath!;
      return child;
    },
  });
}

beforeEach(() => {
  child = new FakeChild();
  clock = new ManualClock();
  log = [];
});

test("a dead child is replaced, and runs wait for the new one", async () => {
  const runtime = await started();
  child.die(died);
  const run = runtime.run(GRAPH, {});
  await turn();
  expect(child.runs).toHaveLength(0);
  child.restarts[0]!.resolve();
  await turn();
  child.runs[0]!.resolve();
  await run;
  expect(log).toEqual(["restart: signal SIGKILL"]);
});

test("a child that does not start again is tried three times, then the node is told", async () => {
  await started();
  child.die(died);
  for (let attempt = 0; attempt < 3; attempt++) {
    await turn();
    expect(child.restarts).toHaveLength(attempt + 1);
    child.restarts[attempt]!.reject(new FarmError("checkpoint-invalid", `try ${attempt}`));
    await turn();
    clock.advance(2_000);
  }
  expect(log).toEqual(["restart: signal SIGKILL", "gone: try 2"]);
});

test.each([
  ["a minute", 100, 60_000],
  ["ten times its longest run", 30_000, 300_000],
])("a graph that ran before may take %s", async (_name, tookMs, deadlineMs) => {
  const runtime = await started();
  const first = runtime.run(GRAPH, {});
  await turn();
  clock.advance(tookMs);
  child.runs[0]!.resolve();
  await first;
  const second = runtime.run(GRAPH, {});
  await turn();
  clock.advance(deadlineMs - 1);
  expect(child.calls).toEqual([]);
  clock.advance(1);
  await expect(second).rejects.toThrow("SIGKILL");
  expect(child.restarts).toHaveLength(1);
});

test("a first run that takes half an hour is stopped by the end of its child", async () => {
  const runtime = await started();
  const run = runtime.run(GRAPH, {});
  await turn();
  clock.advance(1_799_999);
  expect(child.calls).toEqual([]);
  clock.advance(1);
  await expect(run).rejects.toThrow("SIGKILL");
  expect(child.calls).toEqual(["kill"]);
  expect(log).toEqual(["restart: image_encoder: the run took over 1800000 ms and was stopped"]);
  expect(child.restarts).toHaveLength(1);
});

test("after close nothing is restarted, and no timer is left", async () => {
  const runtime = await started();
  const run = runtime.run(GRAPH, {});
  await turn();
  child.runs[0]!.resolve();
  await run;
  await runtime.close();
  child.die(died);
  expect([log, child.restarts, clock.pendingCount]).toEqual([[], [], 0]);
});
