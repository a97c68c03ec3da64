/** A farm whose blobs lie in a real S3 store: the same bytes, and jobs that wait for it. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { JobView } from "../../shared/farm/job.js";
import {
  CLIP,
  type FileHashes,
  hashesOf,
  isMidDenoise,
  undisturbed,
} from "../farm/farm-harness.js";
import { TestS3Server } from "../servers/s3-server.js";
import { S3Farm } from "./s3-farm.js";
import { openStore, serversAtHand } from "./s3-stores.js";

const kinds = (await serversAtHand()).filter((kind) => kind === "minio");
const failuresOf = (job: JobView) =>
  job.clips[0]!.stages.map(({ stage, attempts, count }) => [stage, attempts === count]);

describe.each(kinds)("a farm on %s", (kind) => {
  let server: TestS3Server;
  let farm: S3Farm;
  let expected: FileHashes;
  beforeAll(async () => {
    server = await TestS3Server.start(kind);
    farm = await S3Farm.start(server, 2);
    expected = (await undisturbed(CLIP))[0]!;
  });
  beforeEach(() => farm.explainFailure());
  afterAll(async () => {
    await farm?.stop();
    await server.stop();
  });

  /** Whatever a job names lies in the store, and one manifest names the same. */
  async function published(job: JobView): Promise<FileHashes> {
    const store = await openStore(server);
    const manifests = [];
    for await (const { key } of store.list(`v1/${job.jobId}/0/manifest-`)) manifests.push(key);
    expect(manifests).toEqual([`v1/${job.jobId}/0/manifest-${job.run}.json`]);
    for (const { blob } of job.clips[0]!.outputs) await store.get(blob);
    store.close();
    return hashesOf(job);
  }

  test("renders the bytes that a farm on a folder renders", async () => {
    const { jobId } = await farm.submit();
    expect(await published(await farm.follow(jobId).end())).toEqual(expected);
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
    expect(failuresOf(ended).filter(([, isClean]) => !isClean)).toEqual([]);
  });

  test("a black hole in front of the store: the job waits, and ends with the same bytes", async () => {
    const { jobId } = await farm.submit();
    const job = farm.follow(jobId);
    await job.until((state) => isMidDenoise(state));
    farm.proxy.setBoth({ kind: "timeout" });
    await job.until(({ clips }) => clips[0]!.stepsDone === clips[0]!.stepsTotal);
    farm.proxy.heal();
    expect(await published(await job.end())).toEqual(expected);
  });
});
