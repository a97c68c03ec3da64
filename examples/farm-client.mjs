// One picture to a clip on a farm that is up (renderfarm dev), watched step by step:
//   node examples/farm-client.mjs HOST:PORT PICTURE FOLDER
import { RenderFarmClient } from "renderfarm";

const [address, picture, folder] = process.argv.slice(2);
const client = new RenderFarmClient(address);
try {
  const { jobId } = await client.submit({
    images: picture,
    height: 16,
    width: 16,
    numFrames: 4,
    numInferenceSteps: 3,
    decodeChunkSize: 2,
    seeds: 42,
    formats: ["mp4"],
  });
  // The stream ends with the job; an abort of the signal ends the watching, not the job.
  for await (const job of client.watchJob(jobId, AbortSignal.timeout(600_000))) {
    const [clip] = job.clips;
    console.error(`${job.state}: step ${clip.stepsDone}/${clip.stepsTotal}`);
  }
  const job = await client.getJob(jobId);
  for (const path of await client.save(job, folder)) console.log(path);
} finally {
  client.close();
}
