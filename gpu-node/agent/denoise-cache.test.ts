/** @file Feature caching: the bytes are those of one undisturbed node, whoever takes over whenever. */
import { beforeEach, expect, test } from "vitest";
import type { DenoiseWork, StepCheckpoint } from "../../shared/farm/work.js";
import { createMemoryBlobs } from "../../test/golden/memory-blobs.js";
import { latentsDigest } from "../stages/denoise-maths.js";
import { encodeConditioning, encodeStepLatents } from "../stages/tensor-blobs.js";
import {
  type Bench,
  conditioning,
  expectedDigest,
  FakeBus,
  JOB,
  parameters,
  Replica,
} from "./denoise-bench.js";

const STEPS = 7;
const cached: Partial<DenoiseWork> = {
  parameters: { ...parameters, numInferenceSteps: STEPS, cacheInterval: 3 },
};
const TASK_CHANNEL = `${JOB}-0-denoise.1`;

let bench: Bench;
/** Of one node that nobody disturbs. */
let expected: string;

beforeEach(async () => {
  const blobs = createMemoryBlobs();
  const conditioningRef = await blobs.put("v1/conditioning", encodeConditioning(conditioning));
  bench = { blobs, bus: new FakeBus(), conditioningRef };
  const alone = new Replica(bench).start("a", null, cached);
  expected = latentsDigest(await alone.latents());
  expect(alone.runtime.runs.map(({ graph }) => "features" in graph && graph.features)).toEqual(
    [0, 1, 2, 3, 4, 5, 6].flatMap((step) => Array<string>(2).fill(step % 3 ? "reuse" : "keep")),
  );
});

test("it makes another clip than the whole UNet in every step", async () => {
  const every = { parameters: { ...cached.parameters!, cacheInterval: 1 } };
  const whole = new Replica(bench).start("a", null, every);
  expect(latentsDigest(await whole.latents())).not.toBe(expected);
  expect(whole.runtime.runs.every(({ graph }) => !("features" in graph))).toBe(true);
  expect(expectedDigest()).not.toBe(expected);
});

test("a pair stores the bytes of one alone, each node with its own half's features", async () => {
  const a = new Replica(bench).start("a", "uncond", cached);
  const b = new Replica(bench).start("b", "cond", cached);
  expect(latentsDigest(await a.latents())).toBe(expected);
  expect(latentsDigest(await b.latents())).toBe(expected);
  expect([a.runtime.runs.length, b.runtime.runs.length]).toEqual([STEPS, STEPS]);
});

test.each([0, 1, 2, 3, 4, 5, 6])(
  "a partner that dies in step %i: the survivor makes its features again",
  async (step) => {
    const [a, b] = [new Replica(bench), new Replica(bench)];
    bench.bus.onSend = (header) => {
      if (header.half === "cond" && header.step === step) {
        queueMicrotask(() => bench.bus.kill("a", TASK_CHANNEL));
        return null;
      }
      return header;
    };
    a.start("a", "uncond", cached);
    b.start("b", "cond", cached);
    expect(await a.reported("pair-broken")).toMatchObject({ step });
    a.shell.continueAlone(2);
    b.shell.cancel();
    expect(latentsDigest(await a.latents())).toBe(expected);
  },
);

test("whoever is given the saved latents of any step goes on to the same bytes, alone or as a pair", async () => {
  const saved: StepCheckpoint[] = [];
  const giver = new Replica(bench);
  giver.start("a", null, cached);
  await giver.latents();
  for (const step of [1, 2, 3, 4, 5, 6]) {
    const blob = giver.saves.get(step);
    if (blob) saved.push({ step, blob });
  }
  expect(saved.length).toBeGreaterThan(2);
  for (const resume of saved) {
    const one = new Replica(bench).start("a", null, { ...cached, resume });
    expect(latentsDigest(await one.latents())).toBe(expected);
    const pair = (["uncond", "cond"] as const).map((half, i) =>
      new Replica(bench).start(i === 0 ? "a" : "b", half, { ...cached, resume }),
    );
    for (const replica of pair) expect(latentsDigest(await replica.latents())).toBe(expected);
  }
});

test("latents of which no whole step is known begin with one", async () => {
  const { initialLatents } = conditioning;
  const blob = await bench.blobs.put(
    "v1/branch",
    encodeStepLatents({ step: 2, latents: initialLatents }),
  );
  const one = new Replica(bench).start("a", null, { ...cached, resume: { step: 2, blob } });
  await one.latents();
  const kinds = one.runtime.runs.map(({ graph }) => "features" in graph && graph.features);
  expect(kinds.filter((_, i) => i % 2 === 0)).toEqual(["keep", "reuse", "reuse", "keep", "reuse"]);
});
