import { expect, test } from "vitest";
import { addedTimeIds } from "./time-ids.js";

test.each([
  [{ fps: 7, motionBucketId: 127, noiseAugStrength: 0.02 }, [6, 127, Math.fround(0.02)]],
  [{ fps: 12, motionBucketId: 40, noiseAugStrength: 0.1 }, [11, 40, Math.fround(0.1)]],
  [{ fps: 1, motionBucketId: 1, noiseAugStrength: 0 }, [0, 1, 0]],
])("%o becomes fps - 1, motion bucket, noise", (motion, ids) => {
  expect([...addedTimeIds(motion)]).toEqual(ids);
});
