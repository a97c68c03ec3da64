import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ManualClock } from "../../shared/adapters/clock/manual-clock.js";
import { FileBlobStore } from "../../shared/adapters/files/file-blob-store.js";
import { FarmError } from "../../shared/core/errors.js";
import type { DenoiseWork, GuidanceHalf, TaskReport } from "../../shared/farm/work.js";
import type { BlobRef } from "../../shared/ports/blob-store.js";
import type { ChannelEvents, FrameHeader, TensorBus } from "../../shared/ports/tensor-bus.js";
import { type Tensor, tensor } from "../../shared/tensor/tensor.js";
import { EULER_DISCRETE_DEFAULTS } from "../diffusion/euler-discrete.js";
import type { GraphSpec, Runtime } from "../runtime/runtime.js";
import { createReplica, latentsDigest } from "../stages/denoise-maths.js";
import { decodeLatents, encodeConditioning } from "../stages/tensor-blobs.js";
import { DenoiseShell } from "./denoise-shell.js";

const JOB = "0123456789abcdefghjkmnpqrs";
const SHAPE = [3, 4, 2, 3];
const parameters = {
  ...{ height: 16, width: 24, numFrames: 3, numInferenceSteps: 4, sigmas: null },
  ...{ minGuidanceScale: 1, maxGuidanceScale: 3, fps: 7, motionBucketId: 127 },
  ...{ noiseAugStrength: 0.02, decodeChunkSize: 3 },
};
const scheduler = EULER_DISCRETE_DEFAULTS;
const wave = (shape: readonly number[], scale: number): Tensor => {
  const length = shape.reduce((a, b) => a * b, 1);
  return tensor(
    shape,
    Float32Array.from({ length }, (_, i) => scale * Math.sin(i + 1)),
  );
};
const conditioning = {
  imageEmbedding: wave([1, 1, 5], 0.3),
  imageLatents: wave([4, 2, 3], 0.7),
  initialLatents: wave(SHAPE, 10),
};

/** Stands in for the UNet: a function of its sample and embedding. */
function answer(inputs: Readonly<Record<string, Tensor>>): Tensor {
  const { sample, encoder_hidden_states: states } = inputs;
  const bias = states!.data.reduce((a, b) => a + b, 0);
  const data = Float32Array.from({ length: 72 }, (_, i) => Math.tanh(sample!.data[i]! + bias));
  return tensor([1, ...SHAPE], data);
}

/** A runtime whose runs end when the test says so, or at once. */
class FakeRuntime implements Runtime {
  readonly runs: { graph: GraphSpec; finish: () => void; fail: (error: Error) => void }[] = [];
  isHeld = false;

  run(graph: GraphSpec, inputs: Readonly<Record<string, Tensor>>): Promise<Record<string, Tensor>> {
    return new Promise((resolve, reject) => {
      const finish = () => resolve({ out_sample: answer(inputs) });
      this.runs.push({ graph, finish, fail: reject });
      if (!this.isHeld) finish();
    });
  }

  async close(): Promise<void> {}
}

/** Two ends in one process; frames can be changed or lost on their way. */
class FakeBus {
  readonly #ends = new Map<string, ChannelEvents>();
  onSend: (header: FrameHeader) => FrameHeader | null = (header) => header;

  side(name: "a" | "b"): TensorBus {
    const other = name === "a" ? "b" : "a";
    return {
      join: (channelId, _partner, events) => {
        this.#ends.set(`${name} ${channelId}`, events);
        return {
          send: (header, payload) => {
            const sent = this.onSend(header);
            const copy = payload.slice();
            if (sent) queueMicrotask(() => this.#end(other, channelId)?.onFrame(sent, copy));
          },
          close: () => {
            this.#ends.delete(`${name} ${channelId}`);
            queueMicrotask(() => this.#end(other, channelId)?.onLost("closed"));
          },
        };
      },
    };
  }

  kill(name: "a" | "b", channelId: string): void {
    this.#end(name, channelId)?.onLost("killed");
  }

  #end(name: string, channelId: string): ChannelEvents | undefined {
    return this.#ends.get(`${name} ${channelId}`);
  }
}

let folder: string;
let blobs: FileBlobStore;
let conditioningRef: BlobRef;
let bus: FakeBus;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "denoise-"));
  blobs = await FileBlobStore.open(folder);
  conditioningRef = await blobs.put("v1/conditioning", encodeConditioning(conditioning));
  bus = new FakeBus();
});
afterEach(() => rm(folder, { recursive: true }));

class Replica {
  readonly runtime = new FakeRuntime();
  readonly clock = new ManualClock();
  readonly reports: string[] = [];
  readonly dropped: string[] = [];
  readonly failedSaves: string[] = [];
  holdsLease = true;
  last: TaskReport | null = null;
  shell!: DenoiseShell;
  #wake: () => void = () => {};

  start(side: "a" | "b", half: GuidanceHalf | null, change: Partial<DenoiseWork> = {}): this {
    const partner = { nodeId: "other", busAddress: "127.0.0.1:1", busToken: "t" };
    const work: DenoiseWork = {
      stage: "denoise",
      parameters,
      conditioning: conditioningRef,
      resume: null,
      pair: half ? { half, partner } : null,
      ...change,
    };
    const clipId = `${JOB}-0`;
    const ids = { taskId: `${clipId}-denoise`, jobId: JOB, clipId, epoch: 1, attempt: 1 };
    this.shell = new DenoiseShell({ ...ids, work }, work, {
      runtime: this.runtime,
      blobs,
      bus: bus.side(side),
      clock: this.clock,
      configs: { scheduler },
      planHash: "runtime",
      report: (epoch, report) => {
        this.reports.push(`${report.kind} in epoch ${epoch}`);
        this.last = report;
        this.#wake();
      },
      holdsLease: () => this.holdsLease,
      onFrameDropped: (reason) => this.dropped.push(reason),
      onSaveFailed: ({ code }) => this.failedSaves.push(code),
    });
    return this;
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        setImmediate(resolve);
      });
    }
  }

  /** The latents of the finished report, from the store. */
  async latents(): Promise<Tensor> {
    await this.until(() => this.last?.kind === "finished");
    if (this.last?.kind !== "finished") throw new Error("not finished");
    return decodeLatents(await blobs.get(this.last.result.blob!));
  }
}

function expectedDigest(): string {
  const replica = createReplica(conditioning, parameters, scheduler);
  for (let step = 0; step < replica.stepCount; step++) {
    replica.apply(answer(replica.unetInputs("uncond")), answer(replica.unetInputs("cond")));
  }
  return replica.digest();
}

const TASK_CHANNEL = `${JOB}-0-denoise.1`;

test("alone: the steps are made, reported, and the latents stored under the grant's epoch", async () => {
  const one = new Replica().start("a", null);
  expect(latentsDigest(await one.latents())).toBe(expectedDigest());
  expect(one.reports).toEqual([
    ...Array<string>(4).fill("progress in epoch 1"),
    "finished in epoch 1",
  ]);
  expect(one.last).toMatchObject({ result: { blob: { key: `v1/${JOB}/0/latents-1` } } });
  expect(one.runtime.runs.map((run) => run.graph)).toEqual(
    Array(8).fill({ module: "unet", frames: 3, height: 2, width: 3 }),
  );
  await one.shell.idle;
});

test("a pair: both replicas store the same bytes as one alone, each with half of the runs", async () => {
  const [a, b] = [new Replica().start("a", "uncond"), new Replica().start("b", "cond")];
  expect(latentsDigest(await a.latents())).toBe(expectedDigest());
  expect(latentsDigest(await b.latents())).toBe(expectedDigest());
  expect([a.runtime.runs.length, b.runtime.runs.length]).toEqual([4, 4]);
  expect([a.dropped, b.dropped]).toEqual([[], []]);
});

test("a partner that dies in mid-clip: the survivor ends with the same bytes", async () => {
  const a = new Replica();
  const b = new Replica();
  bus.onSend = (header) => {
    if (header.half === "cond" && header.step === 2) {
      queueMicrotask(() => bus.kill("a", TASK_CHANNEL));
      return null;
    }
    return header;
  };
  a.start("a", "uncond");
  b.start("b", "cond");
  await a.until(() => a.last?.kind === "pair-broken");
  expect(a.last).toMatchObject({ step: 2, reason: "killed" });
  a.shell.continueAlone(2);
  b.shell.cancel();
  expect(latentsDigest(await a.latents())).toBe(expectedDigest());
  expect(a.reports.slice(-3)).toEqual([
    "progress in epoch 2",
    "progress in epoch 2",
    "finished in epoch 2",
  ]);
  // Two steps of its own half, then one half at hand and three to compute.
  expect(a.runtime.runs).toHaveLength(3 + 1 + 2);
  await b.shell.idle;
});

const spoilt: [name: string, change: Partial<FrameHeader>, reason: string][] = [
  ["another clip", { clipId: `${JOB}-1` }, "clip"],
  ["another job", { jobId: "z".repeat(26) }, "clip"],
  ["another shape", { shape: [1] }, "shape"],
  ["another epoch", { epoch: 7 }, "epoch"],
  ["another plan", { planHash: "x" }, "plan-hash"],
];

test.each(spoilt)(
  "a frame of %s is dropped, and the pair breaks in time",
  async (_, change, why) => {
    const a = new Replica();
    const b = new Replica();
    bus.onSend = (header) => (header.half === "cond" ? { ...header, ...change } : header);
    a.start("a", "uncond");
    b.start("b", "cond");
    await a.until(() => a.dropped.length > 0 && a.clock.pendingCount > 0);
    expect(new Set(a.dropped)).toEqual(new Set([why]));
    a.clock.advance(60_000);
    await a.until(() => a.last?.kind === "pair-broken");
    expect(a.last).toMatchObject({ reason: "no cond half of step 0 came within 60000 ms" });
    a.shell.cancel();
    b.shell.cancel();
  },
);

test("a fault of the runtime is reported with its code", async () => {
  const one = new Replica();
  one.runtime.isHeld = true;
  one.start("a", null);
  await one.until(() => one.runtime.runs.length === 1);
  one.runtime.runs[0]!.fail(new FarmError("numerical", "NaN in out_sample"));
  await one.until(() => one.last !== null);
  expect(one.last).toEqual({ kind: "failed", code: "numerical", detail: "NaN in out_sample" });
  await one.shell.idle;
});

test("conditioning that is not there is reported, also when the order to go on alone crosses it", async () => {
  const one = new Replica();
  one.start("a", "cond", { conditioning: { ...conditioningRef, key: "v1/nothing" } });
  await one.until(() => one.last !== null);
  one.shell.continueAlone(2);
  expect(one.reports).toEqual(["failed in epoch 1", "failed in epoch 2"]);
  expect(one.last).toMatchObject({ code: "blob-missing" });
});

test("a cancel while the conditioning is read: nothing is computed, nothing reported", async () => {
  const one = new Replica().start("a", null);
  one.shell.cancel();
  await one.shell.idle;
  expect([one.runtime.runs, one.reports]).toEqual([[], []]);
});

test("a cancel in the middle of a run: idle only when the run has ended", async () => {
  const one = new Replica();
  one.runtime.isHeld = true;
  one.start("a", null);
  await one.until(() => one.runtime.runs.length === 1);
  let isIdle = false;
  void one.shell.idle.then(() => {
    isIdle = true;
  });
  one.shell.cancel();
  await new Promise((resolve) => setImmediate(resolve));
  expect(isIdle).toBe(false);
  one.runtime.runs[0]!.finish();
  await one.shell.idle;
  expect(one.reports).toEqual([]);
});
