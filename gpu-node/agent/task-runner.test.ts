import { expect, test } from "vitest";
import { ManualClock } from "../../shared/adapters/clock/manual-clock.js";
import { FarmError } from "../../shared/core/errors.js";
import type { TaskAssignment, TaskReport, Work } from "../../shared/farm/work.js";
import { corruptBlob } from "../../shared/ports/blob-errors.js";
import type { BlobRef, BlobStore } from "../../shared/ports/blob-store.js";
import type { TensorBus } from "../../shared/ports/tensor-bus.js";
import type { Runtime } from "../runtime/runtime.js";
import type { StageMade, StageParts } from "./stage-task.js";
import { TaskRunner } from "./task-runner.js";

const JOB = "0123456789abcdefghjkmnpqrs";
const resume = { step: 3, blob: { key: "v1/step", sha256: "1".repeat(64), size: 1 } };
const blob = { key: "v1/x", sha256: "0".repeat(64), size: 1 };
const never = new Promise<never>(() => {});
const MADE: StageMade = { blob: null, outputs: [] };
/** What is stored is all ones. */
const UNSTORED: StageMade = { blob: { key: blob.key, bytes: Uint8Array.of(1) }, outputs: [] };

/** A write into the store that the test ends. */
interface Put {
  readonly key: string;
  readonly end: (ref: BlobRef) => void;
  readonly fail: (error: unknown) => void;
}

/** A stage run that the test ends. */
interface StageRun {
  readonly taskId: string;
  readonly signal: AbortSignal;
  /** No run is needed any more. */
  readonly computed: () => Promise<void>;
  readonly finish: (made: StageMade) => void;
  readonly fail: (error: unknown) => void;
}

class Bench {
  readonly clock = new ManualClock();
  readonly runs: StageRun[] = [];
  readonly puts: Put[] = [];
  readonly joined: string[] = [];
  readonly closed: string[] = [];
  readonly reports: [taskId: string, epoch: number, report: TaskReport][] = [];
  readonly runner: TaskRunner;

  constructor() {
    const bus: TensorBus = {
      join: (channelId) => {
        this.joined.push(channelId);
        return { send: () => {}, close: () => this.closed.push(channelId) };
      },
    };
    this.runner = new TaskRunner({
      clock: this.clock,
      runtime: {} as Runtime,
      // Reading the conditioning never ends: a denoise task stays where it started.
      blobs: {
        get: () => never,
        put: (key: string) =>
          new Promise<BlobRef>((end, fail) => this.puts.push({ key, end, fail })),
      } as unknown as BlobStore,
      configs: {} as StageParts["configs"],
      dtype: "float32",
      ffmpeg: null,
      version: "1",
      bus,
      planHash: "p",
      report: (taskId, epoch, report) => this.reports.push([taskId, epoch, report]),
      onFrameDropped: () => {},
      onSaveFailed: () => {},
      onPreview: () => {},
      holdsLease: () => true,
      runStage: ({ taskId }, { onComputed }, signal) =>
        new Promise((finish, fail) =>
          this.runs.push({ taskId, signal, computed: onComputed!, finish, fail }),
        ),
    });
  }

  get kinds(): string[] {
    return this.reports.map(([taskId, epoch, { kind }]) => `${kind} ${nameOf(taskId)} ${epoch}`);
  }

  get running(): string[] {
    return this.runs.map(({ taskId }) => nameOf(taskId));
  }

  assign(name: string, epoch = 1): void {
    this.runner.assign(assignment(name, epoch));
  }

  async turn(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const nameOf = (taskId: string) => taskId.slice(JOB.length + 1);

/** @param name "<clip>-<stage>" */
function assignment(name: string, epoch: number): TaskAssignment {
  const stage = name.split("-")[1] as Work["stage"];
  const partner = { nodeId: "b", busAddress: "127.0.0.1:1", busToken: "t" };
  const work = {
    stage,
    pair: { half: "cond", partner },
    conditioning: blob,
    resume,
  } as unknown as Work;
  const clipId = `${JOB}-${name.split("-")[0]}`;
  return { taskId: `${JOB}-${name}`, jobId: JOB, clipId, epoch, attempt: 1, work, traceparent: "" };
}

test("a finished stage is reported with its result and the seconds it took", async () => {
  const bench = new Bench();
  bench.assign("0-condition", 3);
  bench.clock.advance(1_500);
  await bench.runs[0]!.computed();
  bench.runs[0]!.finish(UNSTORED);
  await bench.turn();
  expect(bench.reports).toEqual([[`${JOB}-0-condition`, 3, { kind: "ending" }]]);
  bench.clock.advance(500);
  bench.puts[0]!.end(blob);
  await bench.runner.idle();
  const result = { blob, outputs: [], seconds: 2, secondsPerStep: 0 };
  expect(bench.reports[1]).toEqual([`${JOB}-0-condition`, 3, { kind: "finished", result }]);
});

test("what is computed has left the accelerator: the next task starts beside its storing", async () => {
  const bench = new Bench();
  for (const name of ["0-decode", "1-decode"]) bench.assign(name);
  await bench.runs[0]!.computed();
  expect(bench.running).toEqual(["0-decode", "1-decode"]);
  expect(bench.kinds).toEqual(["ending 0-decode 1"]);
  bench.runs[0]!.finish(UNSTORED);
  await bench.turn();
  let isIdle = false;
  const idle = bench.runner.idle().then(() => {
    isIdle = true;
  });
  bench.runs[1]!.finish(MADE);
  await bench.turn();
  expect([bench.kinds.at(-1), isIdle]).toEqual(["finished 1-decode 1", false]);
  bench.puts[0]!.end(blob);
  await idle;
  expect(bench.kinds.at(-1)).toBe("finished 0-decode 1");
});

test("a store that is away keeps the result waiting, and nothing is computed again", async () => {
  const bench = new Bench();
  bench.assign("0-decode");
  await bench.runs[0]!.computed();
  bench.runs[0]!.finish(UNSTORED);
  await bench.turn();
  bench.puts[0]!.fail(new FarmError("unreachable", "no store"));
  await bench.turn();
  bench.clock.advance(1_000);
  await bench.turn();
  expect(bench.puts.map(({ key }) => key)).toEqual([blob.key, blob.key]);
  bench.puts[1]!.end(blob);
  await bench.runner.idle();
  expect(bench.running).toEqual(["0-decode"]);
  expect(bench.kinds).toEqual(["ending 0-decode 1", "finished 0-decode 1"]);
});

test.each([
  ["cancelled", (bench: Bench) => bench.runner.cancel(`${JOB}-0-decode`, 1), []],
  ["given back", (bench: Bench) => bench.runner.giveBackAll(), ["yielded 0-decode 1"]],
])("%s while it is stored: it is not finished any more", async (_name, end, reports) => {
  const bench = new Bench();
  bench.assign("0-decode");
  await bench.runs[0]!.computed();
  bench.runs[0]!.finish(UNSTORED);
  await bench.turn();
  end(bench);
  bench.puts[0]!.end(blob);
  await bench.runner.idle();
  expect(bench.kinds).toEqual(["ending 0-decode 1", ...reports]);
});

const failures: [name: string, error: unknown, report: TaskReport][] = [
  [
    "with a code",
    new FarmError("blob-missing", "no such blob"),
    { kind: "failed", code: "blob-missing", detail: "no such blob" },
  ],
  [
    "for a blob",
    corruptBlob({ key: "v1/x", sha256: "0", size: 1 }),
    {
      kind: "failed",
      code: "blob-corrupt",
      detail: "blob v1/x is not the 1 bytes of sha256 0 it should be",
      blobKey: "v1/x",
    },
  ],
  [
    "without a code",
    new TypeError("x is not a function"),
    { kind: "failed", code: "runtime-failed", detail: "x is not a function" },
  ],
];

test.each(failures)("an error %s becomes a failed report", async (_name, error, report) => {
  const bench = new Bench();
  bench.assign("0-decode");
  bench.runs[0]!.fail(error);
  await bench.runner.idle();
  expect(bench.reports).toEqual([[`${JOB}-0-decode`, 1, report]]);
});

test("one task at a time on the accelerator, one mux beside it", async () => {
  const bench = new Bench();
  for (const name of ["0-decode", "1-decode", "0-mux", "1-mux"]) bench.assign(name);
  expect(bench.running).toEqual(["0-decode", "0-mux"]);
  bench.runs[0]!.finish(MADE);
  await bench.turn();
  expect(bench.running).toEqual(["0-decode", "0-mux", "1-decode"]);
});

test("a cancelled task reports nothing, and the next one waits for its end", async () => {
  const bench = new Bench();
  bench.assign("0-decode", 2);
  bench.runner.cancel(`${JOB}-0-decode`, 2);
  bench.assign("1-decode");
  await bench.turn();
  expect(bench.running).toEqual(["0-decode"]);
  expect(bench.runs[0]!.signal.aborted).toBe(true);
  bench.runs[0]!.fail(new FarmError("cancelled", "stopped"));
  await bench.turn();
  expect(bench.running).toEqual(["0-decode", "1-decode"]);
  expect(bench.reports).toEqual([]);
});

test("a cancel of a newer grant ends the older one, which this node was never told is over", async () => {
  const bench = new Bench();
  for (const name of ["0-decode", "1-decode"]) bench.assign(name, 1);
  bench.runner.cancel(`${JOB}-0-decode`, 2);
  bench.runner.cancel(`${JOB}-1-decode`, 2);
  expect(bench.runs[0]!.signal.aborted).toBe(true);
  bench.runs[0]!.fail(new FarmError("cancelled", "stopped"));
  await bench.runner.idle();
  expect(bench.running).toEqual(["0-decode"]);
  expect(bench.reports).toEqual([]);
});

test("a cancel of an older grant, another task or a waiting one", async () => {
  const bench = new Bench();
  for (const name of ["0-decode", "1-decode"]) bench.assign(name, 2);
  bench.runner.cancel(`${JOB}-0-decode`, 1);
  bench.runner.cancel(`${JOB}-9-decode`, 2);
  bench.runner.cancel(`${JOB}-1-decode`, 2);
  expect(bench.runs[0]!.signal.aborted).toBe(false);
  bench.runs[0]!.finish(MADE);
  await bench.runner.idle();
  expect(bench.kinds).toEqual(["finished 0-decode 2"]);
});

test("the same grant twice runs once; a newer one replaces what runs or waits", async () => {
  const bench = new Bench();
  bench.assign("0-decode", 2);
  bench.assign("0-decode", 2);
  bench.assign("0-decode", 1);
  bench.assign("1-decode", 1);
  bench.assign("1-decode", 5);
  bench.assign("0-decode", 3);
  expect(bench.running).toEqual(["0-decode"]);
  expect(bench.runs[0]!.signal.aborted).toBe(true);
  for (let i = 0; i < 3; i++) {
    bench.runs[i]!.finish(MADE);
    await bench.turn();
  }
  expect(bench.kinds).toEqual(["finished 1-decode 5", "finished 0-decode 3"]);
});

test("more than four waiting tasks are refused as exhausted", () => {
  const bench = new Bench();
  for (let i = 0; i < 6; i++) bench.assign(`${i}-decode`);
  expect(bench.reports).toMatchObject([
    [`${JOB}-5-decode`, 1, { kind: "failed", code: "exhausted" }],
  ]);
});

test("a pair's channel is named by task and epoch", () => {
  const bench = new Bench();
  bench.assign("0-denoise", 7);
  expect(bench.joined).toEqual([`${JOB}-0-denoise.7`]);
});

test("going on alone reaches a task that waits: it starts without the partner", async () => {
  const bench = new Bench();
  bench.assign("0-decode");
  bench.assign("0-denoise", 1);
  bench.runner.continueAlone(`${JOB}-0-denoise`, 1, 2);
  bench.runs[0]!.finish(MADE);
  await bench.turn();
  expect(bench.joined).toEqual([]);
  bench.runner.cancel(`${JOB}-0-denoise`, 2);
  // Cancelled under the epoch it then had: the lane would be free but for the read that never ends.
  expect(bench.kinds).toEqual(["finished 0-decode 1"]);
});

test("going on alone with a task that is not here is answered, not waited for", () => {
  const bench = new Bench();
  bench.runner.continueAlone(`${JOB}-0-denoise`, 1, 2);
  expect(bench.reports).toMatchObject([
    [`${JOB}-0-denoise`, 2, { kind: "failed", code: "unreachable" }],
  ]);
});

test("cancelAll ends what runs and what waits, without a word", async () => {
  const bench = new Bench();
  for (const name of ["0-denoise", "1-decode", "0-mux"]) bench.assign(name);
  bench.runner.cancelAll();
  expect(bench.closed).toEqual([`${JOB}-0-denoise.1`]);
  expect(bench.runs[0]!.signal.aborted).toBe(true);
  bench.runs[0]!.finish(MADE);
  await bench.turn();
  expect(bench.running).toEqual(["0-mux"]);
  expect(bench.reports).toEqual([]);
  // Forgotten: an order for it can only be a mistake, and is answered.
  bench.runner.continueAlone(`${JOB}-0-denoise`, 1, 2);
  expect(bench.kinds).toEqual(["failed 0-denoise 2"]);
});

test("wanted back: what denoises gives back, also while it waits; everything else runs on", async () => {
  const bench = new Bench();
  for (const name of ["0-decode", "1-denoise"]) bench.assign(name);
  bench.runner.yield(`${JOB}-0-decode`, 1);
  bench.runner.yield(`${JOB}-1-denoise`, 2);
  expect(bench.kinds).toEqual([]);
  bench.runner.yield(`${JOB}-1-denoise`, 1);
  expect(bench.reports).toEqual([[`${JOB}-1-denoise`, 1, { kind: "yielded", checkpoint: resume }]]);
  expect(bench.runs[0]!.signal.aborted).toBe(false);
  bench.runs[0]!.finish(MADE);
  await bench.turn();
  expect(bench.kinds).toEqual(["yielded 1-denoise 1", "finished 0-decode 1"]);
});

test("wanted back while it runs, under the epoch that an order to go on alone gave it", () => {
  const bench = new Bench();
  bench.assign("0-denoise");
  bench.runner.continueAlone(`${JOB}-0-denoise`, 1, 2);
  bench.runner.yield(`${JOB}-0-denoise`, 1);
  expect(bench.kinds).toEqual([]);
  bench.runner.yield(`${JOB}-0-denoise`, 2);
  expect(bench.kinds).toEqual(["yielded 0-denoise 2"]);
});

test("an order to go on alone that crosses the report of a task given back: reported again", () => {
  const bench = new Bench();
  for (const name of ["0-decode", "1-denoise"]) bench.assign(name);
  bench.runner.yield(`${JOB}-1-denoise`, 1);
  bench.runner.continueAlone(`${JOB}-1-denoise`, 1, 2);
  expect(bench.kinds).toEqual(["yielded 1-denoise 1", "yielded 1-denoise 2"]);
  expect(bench.closed).toEqual([`${JOB}-1-denoise.1`]);
});

test("a node that stops gives back what waits and what still comes, and ends what runs", async () => {
  const bench = new Bench();
  for (const name of ["0-decode", "1-condition", "2-denoise", "0-mux", "1-mux"]) bench.assign(name);
  bench.runner.stop();
  const given = ["yielded 1-condition 1", "yielded 2-denoise 1", "yielded 1-mux 1"];
  expect(bench.kinds).toEqual(given);
  bench.assign("3-decode");
  bench.assign("3-denoise");
  expect(bench.kinds.slice(3)).toEqual(["yielded 3-decode 1", "yielded 3-denoise 1"]);
  expect(bench.running).toEqual(["0-decode", "0-mux"]);
  for (const run of bench.runs) run.finish(MADE);
  await bench.runner.idle();
  expect(bench.kinds.slice(5)).toEqual(["finished 0-decode 1", "finished 0-mux 1"]);
});

test("everything given back at once: what runs is reported now and not again when it ends", async () => {
  const bench = new Bench();
  for (const name of ["0-decode", "0-mux"]) bench.assign(name);
  bench.runner.giveBackAll();
  bench.runner.giveBackAll();
  expect(bench.reports).toEqual([
    [`${JOB}-0-decode`, 1, { kind: "yielded", checkpoint: null }],
    [`${JOB}-0-mux`, 1, { kind: "yielded", checkpoint: null }],
  ]);
  expect(bench.runs.map(({ signal }) => signal.aborted)).toEqual([true, true]);
  bench.runs[0]!.finish(MADE);
  bench.runs[1]!.fail(new FarmError("cancelled", "stopped"));
  await bench.runner.idle();
  expect(bench.reports).toHaveLength(2);
});
