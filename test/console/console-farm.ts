/** @file The farm of a console test: real processes, the small demo checkpoint, two nodes. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type LocalFarm, startLocalFarm } from "../../cli/local-farm.js";
import { FarmClient } from "../../client/farm-client.js";
import { JOB_OPTIONS_DEFAULT, type JobView } from "../../shared/farm/job.js";

const root = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));

const START_MS = 90_000;

/** A scene of the kind that the checkpoint knows. */
export const PICTURE = root("checkpoints/demo/samples/scene2.png");

/** Another one. */
export const OTHER_PICTURE = root("checkpoints/demo/samples/scene3.png");

/** Whoever starts it stops it. */
export function startConsoleFarm(): Promise<LocalFarm> {
  return startLocalFarm({
    checkpoint: root("checkpoints/demo"),
    variant: "auto",
    nodeCount: 2,
    threads: 1,
    listen: "127.0.0.1:0",
    http: "127.0.0.1:0",
    verbose: false,
    onNote: () => {},
    signal: AbortSignal.timeout(START_MS),
  });
}

/** A finished clip of 32 x 32, made by a pair, its request id the same for whoever asks. */
export async function renderClip(farm: LocalFarm): Promise<JobView> {
  const client = new FarmClient(farm.address);
  try {
    const { jobId } = await client.createJob({
      images: [await client.upload(readFileSync(PICTURE))],
      parameters: {
        ...{ height: 32, width: 32, numFrames: 4, numInferenceSteps: 3, sigmas: null },
        ...{ minGuidanceScale: 1, maxGuidanceScale: 3, fps: 7, motionBucketId: 127 },
        ...{ noiseAugStrength: 0.02, decodeChunkSize: 2, numVideosPerPrompt: 1 },
        ...{ seeds: [42n], latents: null, formats: ["mp4"], pair: "always" },
      },
      modelDigest: "",
      requestId: "the-clip-of-the-console-tests",
      options: JOB_OPTIONS_DEFAULT,
    });
    const states: JobView[] = [];
    for await (const job of client.watchJob(jobId, AbortSignal.timeout(START_MS))) states.push(job);
    return states.at(-1)!;
  } finally {
    client.close();
  }
}
