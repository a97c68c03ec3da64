/** @file A whole clip: on a farm of two nodes with a thread each, and by diffusers with two threads. */
import { readFile } from "node:fs/promises";
import { startLocalFarm } from "../../cli/local-farm.js";
import { FarmClient } from "../../client/farm-client.js";
import type { RequestedParameters } from "../../shared/adapters/grpc/parameters-codec.js";
import { isTerminal } from "../../shared/farm/job.js";
import type { DiffusersSubject } from "./compare.js";

/** A farm that makes the subject's clip. */
export interface ClipFarm {
  /** @returns seconds from the submission to the published file */
  render(): Promise<number>;
  stop(): Promise<void>;
}

export async function openFarm(subject: DiffusersSubject): Promise<ClipFarm> {
  const signal = new AbortController().signal;
  const farm = await startLocalFarm({
    ...{ checkpoint: subject.checkpoint, variant: "auto", nodeCount: 2, threads: 1 },
    ...{ listen: "127.0.0.1:0", verbose: false, onNote: () => {}, signal },
  });
  const client = new FarmClient(farm.address);
  const image = await client.upload(await readFile(subject.image));
  const render = async () => {
    const startMs = performance.now();
    const { jobId } = await client.createJob({
      ...{ images: [image], modelDigest: "", requestId: "", parameters: parametersOf(subject) },
      options: {
        owner: "",
        priority: 50,
        startAfterMs: null,
        deadlineMs: null,
        dependsOn: [],
        branch: null,
        preview: false,
        labels: {},
      },
    });
    for await (const job of client.watchJob(jobId, signal)) {
      if (isTerminal(job.state) && job.state !== "succeeded") {
        throw new Error(`the farm ended the clip as ${job.state}`);
      }
    }
    return (performance.now() - startMs) / 1_000;
  };
  const stop = async () => {
    client.close();
    await farm.stop();
  };
  return { render, stop };
}

function parametersOf({ size, clipSteps }: DiffusersSubject): RequestedParameters {
  return {
    ...{ height: size.height, width: size.width, numFrames: size.frames },
    ...{ numInferenceSteps: clipSteps, minGuidanceScale: 1, maxGuidanceScale: 3 },
    ...{ fps: 7, motionBucketId: 127, noiseAugStrength: 0.02, decodeChunkSize: size.decodeFrames },
    ...{ numVideosPerPrompt: 1, seeds: [1n] },
    ...{ formats: ["safetensors"], pair: "always" },
  };
}
