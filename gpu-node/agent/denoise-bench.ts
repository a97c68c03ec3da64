/** @file For tests of the denoise shell: replicas with a runtime and a bus that tests hold in hand. */
import { ManualClock } from "../../shared/adapters/clock/manual-clock.js";
import type { DenoiseWork, GuidanceHalf, TaskReport } from "../../shared/farm/work.js";
import type { BlobRef, BlobStore } from "../../shared/ports/blob-store.js";
import type { ChannelEvents, FrameHeader, TensorBus } from "../../shared/ports/tensor-bus.js";
import { roundToFloat16 } from "../../shared/tensor/float16.js";
import { type ComputeType, type Tensor, tensor } from "../../shared/tensor/tensor.js";
import { EULER_DISCRETE_DEFAULTS } from "../diffusion/euler-discrete.js";
import type { GraphSpec, Runtime } from "../runtime/runtime.js";
import { createReplica } from "../stages/denoise-maths.js";
import { decodeLatents } from "../stages/tensor-blobs.js";
import { DenoiseShell } from "./denoise-shell.js";

export const JOB = "0123456789abcdefghjkmnpqrs";
const SHAPE = [3, 4, 2, 3];
export const parameters = {
  ...{ height: 16, width: 24, numFrames: 3, numInferenceSteps: 4, sigmas: null },
  ...{ minGuidanceScale: 1, maxGuidanceScale: 3, fps: 7, motionBucketId: 127 },
  ...{ guidance: { kind: "linear" as const }, fit: "stretch" as const },
  ...{ noiseAugStrength: 0.02, decodeChunkSize: 3, cacheInterval: 1 },
};
const scheduler = EULER_DISCRETE_DEFAULTS;
const wave = (shape: readonly number[], scale: number): Tensor => {
  const length = shape.reduce((a, b) => a * b, 1);
  return tensor(
    shape,
    Float32Array.from({ length }, (_, i) => scale * Math.sin(i + 1)),
  );
};
export const conditioning = {
  imageEmbedding: wave([1, 1, 5], 0.3),
  imageLatents: wave([4, 2, 3], 0.7),
  colourMap: wave([5, 3], 0.5),
  initialLatents: wave(SHAPE, 10),
};

/** Stands in for the UNet: a function of its sample, embedding, and features where it is given some. */
function answer(inputs: Readonly<Record<string, Tensor>>, dtype: ComputeType): Tensor {
  const { sample, encoder_hidden_states: states, inner_features: features } = inputs;
  const bias = states!.data.reduce((a, b) => a + b, 0) + (features?.data[0] ?? 0);
  const data = Float32Array.from({ length: 72 }, (_, i) => Math.tanh(sample!.data[i]! + bias));
  if (dtype === "float16") roundToFloat16(data);
  return tensor([1, ...SHAPE], data);
}

/** What depends on the step, so that features of another one make other latents. */
function featuresOf({ sample, timestep }: Readonly<Record<string, Tensor>>): Tensor {
  return tensor([1], Float32Array.of(Math.sin(sample!.data[0]! + timestep!.data[0]!)));
}

/** A runtime whose runs end when the test says so, or at once. */
class FakeRuntime implements Runtime {
  readonly runs: { graph: GraphSpec; finish: () => void; fail: (error: Error) => void }[] = [];
  isHeld = false;
  /** Hears of every run that begins. */
  onRun: () => void = () => {};
  /** What it stands in for computes in this. */
  dtype: ComputeType = "float32";

  run(graph: GraphSpec, inputs: Readonly<Record<string, Tensor>>): Promise<Record<string, Tensor>> {
    return new Promise((resolve, reject) => {
      const finish = () =>
        resolve({ out_sample: answer(inputs, this.dtype), inner_features: featuresOf(inputs) });
      this.runs.push({ graph, finish, fail: reject });
      this.onRun();
      if (!this.isHeld) finish();
    });
  }

  async close(): Promise<void> {}
}

/** Two ends in one process; frames can be changed or lost on their way. */
export class FakeBus {
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

/** What the replicas of a test share. */
export interface Bench {
  readonly blobs: BlobStore;
  readonly bus: FakeBus;
  readonly conditioningRef: BlobRef;
}

/** One node's side of a denoise task. */
export class Replica {
  readonly runtime = new FakeRuntime();
  readonly clock = new ManualClock();
  readonly reports: string[] = [];
  readonly dropped: string[] = [];
  readonly failedSaves: string[] = [];
  /** Saved latents by their step. */
  readonly saves = new Map<number, BlobRef>();
  /** Steps of previews. */
  readonly shown: number[] = [];
  holdsLease = true;
  last: TaskReport | null = null;
  shell!: DenoiseShell;
  readonly #bench: Bench;
  #wake: () => void = () => {};

  constructor(bench: Bench) {
    this.#bench = bench;
  }

  start(side: "a" | "b", half: GuidanceHalf | null, change: Partial<DenoiseWork> = {}): this {
    const partner = { nodeId: "other", busAddress: "127.0.0.1:1", busToken: "t" };
    const work: DenoiseWork = {
      stage: "denoise",
      preview: false,
      parameters,
      conditioning: this.#bench.conditioningRef,
      resume: null,
      pair: half ? { half, partner } : null,
      ...change,
    };
    const clipId = `${JOB}-0`;
    const ids = {
      taskId: `${clipId}-denoise`,
      jobId: JOB,
      clipId,
      epoch: 1,
      attempt: 1,
      traceparent: "",
    };
    this.shell = new DenoiseShell({ ...ids, work }, work, {
      runtime: this.runtime,
      blobs: this.#bench.blobs,
      bus: this.#bench.bus.side(side),
      clock: this.clock,
      configs: { scheduler },
      dtype: this.runtime.dtype,
      planHash: "runtime",
      report: (epoch, report) => {
        if (report.kind === "checkpointed") {
          this.saves.set(report.checkpoint.step, report.checkpoint.blob);
        }
        this.reports.push(`${report.kind} in epoch ${epoch}`);
        this.last = report;
        this.#wake();
      },
      holdsLease: () => this.holdsLease,
      onFrameDropped: (reason) => this.dropped.push(reason),
      onSaveFailed: ({ code }) => this.failedSaves.push(code),
      onPreview: (_epoch, step) => this.shown.push(step),
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

  /** Waits for a report of this kind; another may follow before whoever waits goes on. */
  async reported<K extends TaskReport["kind"]>(kind: K): Promise<Extract<TaskReport, { kind: K }>> {
    let found: TaskReport | null = null;
    await this.until(() => {
      if (this.last?.kind === kind) found = this.last;
      return found !== null;
    });
    return found as unknown as Extract<TaskReport, { kind: K }>;
  }

  /** The latents of the finished report, from the store. */
  async latents(): Promise<Tensor> {
    const { result } = await this.reported("finished");
    return decodeLatents(await this.#bench.blobs.get(result.blob!));
  }
}

/** Digest of the latents after so many steps; by default after all of them. */
export function expectedDigest(steps = 4, dtype: ComputeType = "float32"): string {
  const replica = createReplica(conditioning, parameters, scheduler, undefined, dtype);
  for (let step = 0; step < steps; step++) {
    const [uncond, cond] = (["uncond", "cond"] as const).map((half) =>
      answer(replica.unetInputs(half), dtype),
    );
    replica.apply(uncond!, cond!);
  }
  return replica.digest();
}
