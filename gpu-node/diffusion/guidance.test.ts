import { expect, test } from "vitest";
import { readGolden } from "../../test/golden/read-golden.js";
import { guidanceRamp } from "./guidance.js";

const ramps = [...readGolden("schedulers/steps.safetensors")].filter(([name]) =>
  name.startsWith("ramp/"),
);

test.each(ramps)("torch.linspace, bit for bit: %s", (name, expected) => {
  const [min, max, frames] = name.split("/").slice(1).map(Number);
  expect(guidanceRamp(min!, max!, frames!)).toEqual(expected.data);
});
