/**
 * @file What the machine does to a process: signals of a crash, no memory, no room on the disk, bytes
 * that changed where they lay. What was promised holds, and the clip has the same bytes.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { asFarmError } from "../../shared/core/errors.js";
import { JOB_OPTIONS_DEFAULT } from "../../shared/farm/job.js";
import type { JobParameters } from "../../shared/farm/parameters.js";
import type { Output } from "../../shared/farm/work.js";
import {
  CLIP,
  type FileHashes,
  isMidDenoise,
  PICTURE,
  stageOf,
  undisturbed,
} from "./farm-harness.js";
import { type FaultFarm, sharedFarm } from "./fault-farm.js";

const PARAMETERS: JobParameters = { ...CLIP, numInferenceSteps: 20 };
/** Its chunks and files are larger than a log. */
const LARGE: JobParameters = {
  ...{ ...CLIP, numInferenceSteps: 1 },
  ...{ height: 64, width: 64, pair: "never" },
};

/** Sets limits of a process that runs; Linux has it. */
const PRLIMIT = ["/usr/bin/prlimit", "/bin/prlimit"].find((path) => existsSync(path));

const theFarm = sharedFarm(2);
let farm: FaultFarm;
let expected: FileHashes;
let expectedLarge: FileHashes;
beforeAll(async () => {
  farm = theFarm();
  expected = (await undisturbed(PARAMETERS))[0]!;
  expectedLarge = (await undisturbed(LARGE))[0]!;
}, 60_000);

/** @param limit e.g. "--as=100000000" */
function limit(pid: number, what: string): void {
  execFileSync(PRLIMIT!, ["--pid", String(pid), what]);
}

/** Everything that a process has, in bytes of addresses. */
function addressBytes(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[0]) * 4096;
}

/** Flips the lowest bit of the byte in the middle of a file. */
function flipBit(path: string): void {
  const bytes = readFileSync(path);
  const at = bytes.length >> 1;
  bytes[at] = bytes[at]! ^ 1;
  writeFileSync(path, bytes);
}

/** Blobs of a clip whose name begins so. */
function blobsOf(jobId: string, name: string): string[] {
  const folder = join(farm.data, "blobs/v1", jobId, "0");
  return readdirSync(folder)
    .filter((each) => each.startsWith(name))
    .map((each) => join(folder, each));
}

async function inMidDenoise(parameters: Partial<JobParameters>) {
  const { jobId } = await farm.submit({ ...PARAMETERS, ...parameters });
  const job = farm.follow(jobId);
  return { jobId, job, begun: await job.until(isMidDenoise) };
}

describe("the runtime child dies of", () => {
  test.each(["SIGSEGV", "SIGABRT", "SIGBUS"] as const)("%s: a new one goes on", async (signal) => {
    const { job, begun } = await inMidDenoise({ pair: "never" });
    const [worker] = stageOf(begun, "denoise")!.nodeIds;
    process.kill(farm.runtimePid(worker!), signal);
    const ended = await job.end();
    expect(await farm.published(ended)).toEqual(expected);
    const failed = farm.logOf(worker!).filter(({ detail }) => String(detail).includes(signal));
    expect(failed).not.toEqual([]);
  });
});

describe.each(PRLIMIT ? ["prlimit"] : [])("with %s", () => {
  /** Renders two at once, so that each node has work, and looks what the first one said. */
  const failuresOfNode1 = async () => {
    const submitted = await Promise.all([1, 2].map(() => farm.submit(LARGE)));
    for (const { jobId } of submitted) {
      expect(await farm.published(await farm.follow(jobId).end())).toEqual(expectedLarge);
    }
    return farm.logOf("node-1").filter(({ code }) => code !== undefined);
  };

  test("no memory for a runtime child: the other node does what it cannot", async () => {
    // The other node shows that such work fits: so the node is at fault, and not the clip.
    await farm.client.drainNode("node-1");
    expect(await farm.published(await farm.render(LARGE))).toEqual(expectedLarge);
    await farm.client.undrainNode("node-1");
    const pid = farm.runtimePid("node-1");
    limit(pid, `--as=${addressBytes(pid)}`);
    const codes = (await failuresOfNode1()).map(({ code }) => code);
    farm.node("node-1").process.kill();
    await farm.node("node-1").process.ended;
    expect(codes).toContain("out-of-memory");
  });

  test("no room for what a node writes: its task waits, others work, and the next node does it", async () => {
    const { process: node1 } = farm.node("node-1");
    limit(node1.pid!, "--fsize=50000");
    await farm.client.drainNode("node-2");
    const { jobId } = await farm.submit(LARGE);
    const job = farm.follow(jobId);
    await job.until((state) => stageOf(state, "condition")?.nodeIds.length === 1);
    await farm.client.undrainNode("node-2");
    // Its files are small.
    expect(await farm.published(await farm.render(PARAMETERS))).toEqual(expected);
    const waiting = await farm.client.getJob(jobId);
    expect(stageOf(waiting, "condition")).toMatchObject({ attempts: 1 });
    expect(stageOf(waiting, "denoise")).toBeUndefined();
    node1.kill();
    await node1.ended;
    const ended = await job.end();
    expect(await farm.published(ended)).toEqual(expectedLarge);
    expect(stageOf(ended, "condition")!.attempts).toBe(2);
  });

  test("no room for the journal: what was answered for is kept, and it says why it ends", async () => {
    const image = await farm.client.upload(readFileSync(PICTURE));
    const request = (requestId: string) =>
      farm.client.createJob({
        images: [image],
        parameters: PARAMETERS,
        modelDigest: "",
        requestId,
        options: JOB_OPTIONS_DEFAULT,
      });
    const journal = join(farm.data, "journal");
    const sizes = readdirSync(journal).map((name) => statSync(join(journal, name)).size);
    const { coordinator } = farm;
    limit(coordinator!.pid!, `--fsize=${Math.max(...sizes) + 8_000}`);
    const accepted: string[] = [];
    let refusal: unknown = null;
    for (let i = 0; refusal === null; i++) {
      await request(`no-room-${i}`).then(
        ({ jobId }) => accepted.push(jobId),
        (error: unknown) => {
          refusal = asFarmError(error);
        },
      );
    }
    expect(accepted.length).toBeGreaterThan(0);
    expect(await coordinator!.ended).toBe("exit code 1");
    expect(JSON.stringify(farm.logOf("coordinator"))).toMatch(/journal \((EFBIG|ENOSPC)\)/);
    await farm.startCoordinator();
    for (const jobId of accepted) {
      expect(await farm.published(await farm.follow(jobId).end())).toEqual(expected);
    }
  });
});

describe("a bit has flipped", () => {
  /** Kills the node that works, so that another one reads what lies in the store. */
  const failOver = async (name: string) => {
    const { jobId } = await farm.submit({ ...PARAMETERS, pair: "never" });
    const job = farm.follow(jobId);
    const begun = await job.until(
      (state) => isMidDenoise(state) && state.clips[0]!.stepsKept.length > 0,
    );
    const worker = farm.node(stageOf(begun, "denoise")!.nodeIds.at(-1)!);
    process.kill(worker.process.pid!, "SIGSTOP");
    for (const path of blobsOf(jobId, name)) flipBit(path);
    process.kill(worker.process.pid!, "SIGKILL");
    return job.end();
  };

  test("in every step that was kept: it begins again, with the same bytes", async () => {
    const ended = await failOver("step-");
    expect(await farm.published(ended)).toEqual(expected);
    expect(stageOf(ended, "denoise")!.attempts).toBeGreaterThan(2);
  });

  test("in the conditioning: it is made again, with the same bytes", async () => {
    const ended = await failOver("conditioning-");
    expect(await farm.published(ended)).toEqual(expected);
    expect(stageOf(ended, "condition")!.attempts).toBe(2);
    expect(blobsOf(ended.jobId, "conditioning-")).toHaveLength(2);
    const { nodes } = await farm.client.getFarm();
    expect(nodes.map(({ refusal }) => refusal).filter((refusal) => refusal !== "")).toEqual([]);
  });

  test("in a finished file: nobody is given it", async () => {
    const ended = await farm.render(PARAMETERS);
    const { outputs } = ended.clips[0]!;
    const [rotten, whole] = outputs;
    flipBit(join(farm.data, "blobs", rotten!.blob.key));
    const load = async (output: Output) => {
      const pieces: Uint8Array[] = [];
      const { signal } = new AbortController();
      const bytes = farm.client.download(ended.jobId, 0, output, signal);
      for await (const piece of bytes) pieces.push(piece);
      return Buffer.concat(pieces);
    };
    await expect(load(rotten!)).rejects.toMatchObject({ code: "blob-corrupt" });
    expect((await load(whole!)).length).toBe(whole!.blob.size);
  });

  test("in the journal: the start is refused and names the record, until it is put right", async () => {
    const { jobId } = await farm.render(PARAMETERS);
    const before = await farm.client.getJob(jobId);
    await farm.killCoordinator();
    const journal = join(farm.data, "journal");
    const [log] = readdirSync(journal).filter((name) => name.endsWith(".log"));
    flipBit(join(journal, log!));
    await expect(farm.startCoordinator()).rejects.toMatchObject({
      code: "wrong-state",
      detail: expect.stringContaining(log!),
    });
    flipBit(join(journal, log!));
    await farm.startCoordinator();
    expect(await farm.client.getJob(jobId)).toEqual(before);
  });
});
