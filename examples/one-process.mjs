// One picture to a clip in this process, as with diffusers:
//   node examples/one-process.mjs CHECKPOINT PICTURE OUT.mp4
import { exportToVideo, StableVideoDiffusion } from "renderfarm/engine";

const [checkpoint, picture, out] = process.argv.slice(2);
const pipe = await StableVideoDiffusion.fromPretrained(checkpoint);
const { frames, seeds } = await pipe.run(picture, {
  height: 16,
  width: 16,
  numFrames: 4,
  numInferenceSteps: 3,
  decodeChunkSize: 2,
  generator: 42,
  callbackOnStepEnd: (step, timestep) => {
    console.error(`step ${step + 1}, timestep ${timestep.toFixed(3)}`);
  },
});
console.log(await exportToVideo(frames[0], out, 7));
console.error(`seed ${seeds[0]}`);
await pipe.close();
