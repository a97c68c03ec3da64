/** A farm whose blobs lie in a real S3 store: the same bytes, and jobs that wait for it. */
import { createHash } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { JobView } from "../../shared/farm/job.js";
import { runCli } from "../farm/cli-process.js";
import { CLIP, type FileHashes, isMidDenoise, stageOf, undisturbed } from "../farm/farm-harness.js";
import { publishedOnce } from "../farm/published.js";
import { TestS3Server } from "../servers/s3-server.js";
import { S3Farm } from "./s3-farm.js";
import { lookInto, S3_ROLES, serversAtHand } from "./s3-stores.js";

const kinds = await serversAtHand();
/** Each task of the clip granted once; its frames are decoded in two chunks. */
const GRANTED_ONCE = { condition: 1, denoise: 1, decode: 2, mux: 1 };
const grantsOf = (job: JobView) =>
  Object.fromEntries(job.clips[0]!.stages.map(({ stage, attempts }) => [stage, attempts]));

describe.each(kinds)("a farm on %s", (kind) => {
  let server: TestS3Server;
  let farm: S3Farm;
  let expected: FileHashes;
  beforeAll(async () => {
    server = await TestS3Server.start(kind, { identities: S3_ROLES });
    farm = await S3Farm.start(server, 2);
    expected = (await undisturbed(CLIP))[0]!;
  });
  beforeEach(() => farm.explainFailure());
  afterAll(async () => {
    await farm?.stop();
    await server.stop();
  });

  async function published(job: JobView): Promise<FileHashes> {
    const store = await lookInto(server);
    const hashes = await publishedOnce(store, job);
    store.close();
    return hashes;
  }

  test("renders the bytes that a farm on a folder renders", async () => {
    const { jobId } = await farm.submit();
    const ended = await farm.follow(jobId).end();
    expect(await published(ended)).toEqual(expected);
    expect(grantsOf(ended)).toEqual(GRANTED_ONCE);
  });

  test("kill -9 of the store in the midst of a clip: the job waits, and loses no attempt", async () => {
    const { jobId } = await farm.submit();
    const job = farm.follow(jobId);
    await job.until((state) => isMidDenoise(state));
    await server.kill("SIGKILL");
    // Denoising needs no store; when all steps are made, their result has nowhere to go.
    await job.until(({ clips }) => clips[0]!.stepsDone === clips[0]!.stepsTotal);
    await expect(farm.submit()).rejects.toMatchObject({ code: "unreachable" });
    await server.run();
    const ended = await job.end();
    expect(await published(ended)).toEqual(expected);
    expect(grantsOf(ended)).toEqual(GRANTED_ONCE);
  });

  test("a black hole in front of the store: the job waits, and loses no attempt", async () => {
    const { jobId } = await farm.submit();
    const job = farm.follow(jobId);
    await job.until((state) => isMidDenoise(state));
    const swallowed = farm.proxy.hit("timeout");
    farm.proxy.setBoth({ kind: "timeout" });
    await job.until(({ clips }) => clips[0]!.stepsDone === clips[0]!.stepsTotal);
    await swallowed;
    expect(await farm.client.getJob(jobId)).toMatchObject({ state: "running" });
    farm.proxy.heal();
    const ended = await job.end();
    expect(await published(ended)).toEqual(expected);
    expect(grantsOf(ended)).toEqual(GRANTED_ONCE);
  });

  test("one node is cut off from the store: what it has in hand waits, and loses no attempt", async () => {
    const { jobId } = await farm.submit({ pair: "never" });
    const job = farm.follow(jobId);
    const [cut] = stageOf(await job.until(isMidDenoise), "denoise")!.nodeIds;
    const proxy = farm.nodeProxies.get(cut!)!;
    const swallowed = proxy.hit("timeout");
    proxy.setBoth({ kind: "timeout" });
    // The coordinator reaches the store, and the other node works.
    const other = farm.follow((await farm.submit({ pair: "never" })).jobId);
    const denoised = await other.until((state) => stageOf(state, "decode") !== undefined);
    expect(stageOf(denoised, "denoise")!.nodeIds).not.toContain(cut);
    await swallowed;
    expect(await farm.client.getJob(jobId)).toMatchObject({ state: "running" });
    proxy.heal();
    for (const following of [job, other]) {
      const ended = await following.end();
      expect(await published(ended)).toEqual(expected);
      expect(grantsOf(ended)).toEqual(GRANTED_ONCE);
    }
  });

  test("a link reads a finished file from the store itself, without a key", async () => {
    const { jobId } = await farm.submit();
    const { clips } = await farm.follow(jobId).end();
    for (const { fileName, blob } of clips[0]!.outputs) {
      const { url, expiresAtMs } = await farm.client.outputLink(jobId, 0, fileName);
      expect(expiresAtMs).toBeGreaterThan(Date.now());
      expect(await fetched(url)).toBe(blob.sha256);
    }
    const outputs = `${farm.httpUrl}/v1/jobs/${jobId}/clips/0/outputs`;
    const answer = await fetch(`${outputs}/clip.gif:link`);
    const { url } = (await answer.json()) as { url: string };
    const gif = clips[0]!.outputs.find(({ fileName }) => fileName === "clip.gif")!;
    expect(await fetched(url)).toBe(gif.blob.sha256);
    const at = ["--address", farm.client.address];
    const typed = await runCli(["link", jobId, "--file", "clip.gif", ...at]);
    expect(typed).toMatchObject({ exitCode: 0, stderr: "" });
    expect(await fetched(typed.stdout.trim())).toBe(gif.blob.sha256);
    await expect(farm.client.outputLink(jobId, 0, "clip.mp4")).rejects.toMatchObject({
      ...{ code: "not-found", detail: expect.stringContaining("no finished output 'clip.mp4'") },
    });
  });
});

/** The sha256 of what a URL holds. */
async function fetched(url: string): Promise<string> {
  const answer = await fetch(url);
  expect(answer.status).toBe(200);
  const bytes = Buffer.from(await answer.arrayBuffer());
  return createHash("sha256").update(bytes).digest("hex");
}
