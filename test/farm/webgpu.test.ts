/** @file The WebGPU provider on a software device: its numbers beside the CPU's, and a mixed farm. */
import { mkdtempSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { FarmProcess, type FarmProcessOptions } from "../../cli/farm-process.js";
import { FarmClient } from "../../client/farm-client.js";
import { type ChildRuntime, startChildRuntime } from "../../gpu-node/runtime/child-runtime.js";
import { isTerminal, JOB_OPTIONS_DEFAULT, type JobView } from "../../shared/farm/job.js";
import { maxRelativeDifference } from "../golden/read-golden.js";
import { softwareGpu } from "../servers/software-gpu.js";
import { CHECKPOINT, CLIP, PICTURE } from "./farm-harness.js";
import { CALLS, FLOAT16_TOLERANCE } from "./module-calls.js";

/** The device adds in another order (about 1e-5 here); another formula differs by far more. */
const TOLERANCE = 1e-4;
/** A device in software compiles every shader with one processor. */
const PATIENCE_MS = 900_000;
const CLIPS = 3;

describe.runIf(softwareGpu)("the webgpu provider", () => {
  const before = { ...process.env };
  beforeAll(() => {
    Object.assign(process.env, softwareGpu);
  });
  afterAll(() => {
    process.env = before;
  });

  describe("beside the cpu", () => {
    const runtimes: ChildRuntime[] = [];
    beforeAll(async () => {
      for (const provider of ["cpu", "webgpu"] as const) {
        const settings = { checkpointDir: CHECKPOINT, provider, intraOpThreads: 1 };
        runtimes.push(await startChildRuntime(settings));
      }
    }, PATIENCE_MS);
    afterAll(() => Promise.all(runtimes.map((runtime) => runtime.close())));

    test.each(CALLS)(
      "$graph.module",
      async ({ graph, inputs }) => {
        const [cpu, webgpu] = await Promise.all(runtimes.map((r) => r.run(graph, inputs)));
        for (const [name, expected] of Object.entries(cpu!)) {
          expect(maxRelativeDifference(webgpu![name]!.data, expected.data)).toBeLessThan(TOLERANCE);
        }
      },
      PATIENCE_MS,
    );
  });

  test(
    "float16 graphs run where the device has them, else the start says what to take",
    async () => {
      const settings = { checkpointDir: CHECKPOINT, intraOpThreads: 1, dtype: "float16" } as const;
      let webgpu: ChildRuntime;
      try {
        webgpu = await startChildRuntime({ ...settings, provider: "webgpu" });
      } catch (error) {
        expect(error).toMatchObject({ code: "invalid-argument" });
        expect(String(error)).toMatch(/--dtype float16: .*take --dtype float32/);
        process.stderr.write(`float16 on this device: ${String(error)}\n`);
        return;
      }
      const cpu = await startChildRuntime({ ...settings, provider: "cpu" });
      onTestFinished(() => Promise.all([cpu.close(), webgpu.close()]).then(() => undefined));
      for (const { graph, inputs } of CALLS) {
        const [expected, actual] = await Promise.all(
          [cpu, webgpu].map((r) => r.run(graph, inputs)),
        );
        for (const [name, { data }] of Object.entries(expected!)) {
          expect(maxRelativeDifference(actual![name]!.data, data)).toBeLessThan(FLOAT16_TOLERANCE);
        }
      }
    },
    PATIENCE_MS,
  );

  test(
    "in a farm with a cpu node, the two share a batch and are never paired",
    async () => {
      const farm = await startMixedFarm();
      const image = await farm.upload(readFileSync(PICTURE));
      const size = { numFrames: 2, numInferenceSteps: 2, decodeChunkSize: 1 };
      const { jobId } = await farm.createJob({
        ...{ images: [image], modelDigest: "", requestId: "", options: JOB_OPTIONS_DEFAULT },
        parameters: { ...CLIP, ...size, numVideosPerPrompt: CLIPS },
      });
      const job = await ended(farm, jobId);
      expect(job.clips.map(({ state }) => state)).toEqual(Array(CLIPS).fill("succeeded"));
      const stages = job.clips.flatMap((clip) => clip.stages);
      const denoised = stages.filter(({ stage }) => stage === "denoise");
      expect(denoised.map(({ nodeIds }) => nodeIds.length)).toEqual(Array(CLIPS).fill(1));
      expect([...new Set(stages.flatMap(({ nodeIds }) => nodeIds))].sort()).toEqual([
        "cpu",
        "webgpu",
      ]);
    },
    PATIENCE_MS,
  );
});

async function startMixedFarm(): Promise<FarmClient> {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "renderfarm-webgpu-")));
  const started: FarmProcess[] = [];
  const launch = (name: string, entry: FarmProcessOptions["entry"], args: readonly string[]) => {
    const logPath = join(folder, `${name}.log`);
    const process = new FarmProcess({ name, entry, args, logPath, readyMs: PATIENCE_MS });
    started.push(process);
    return process.ready;
  };
  onTestFinished(async () => {
    await Promise.all(started.map((process) => process.stop()));
    rmSync(folder, { recursive: true, force: true });
  });
  const listen = ["--listen", "127.0.0.1:0", "--data", folder];
  const { address } = await launch("coordinator", "coordinator", listen);
  await Promise.all(
    ["cpu", "webgpu"].map((provider) =>
      launch(provider, "gpu-node", [
        ...["--coordinator", address, "--checkpoint", CHECKPOINT, "--provider", provider],
        ...["--blob-dir", join(folder, "blobs"), "--node-id", provider],
      ]),
    ),
  );
  const client = new FarmClient(address);
  onTestFinished(() => client.close());
  await vi.waitFor(async () => expect((await client.getFarm()).nodes).toHaveLength(2), {
    timeout: PATIENCE_MS,
  });
  return client;
}

async function ended(farm: FarmClient, jobId: string): Promise<JobView> {
  for await (const job of farm.watchJob(jobId, AbortSignal.timeout(PATIENCE_MS))) {
    if (isTerminal(job.state)) return job;
  }
  throw new Error("the stream of the job ended before the job");
}
