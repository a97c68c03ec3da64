import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  alone,
  applied,
  COND,
  checkpointAt,
  frame,
  half,
  type Line,
  lost,
  PLAN,
  play as played,
  saved,
  saveFailed,
  script,
} from "./denoise-play.js";
import { planSaveSteps, SAVE_STEPS_MAX, SAVE_TIME_SHARE_MAX } from "./denoise-saves.js";
import type { DenoiseEvent, DenoisePlan } from "./denoise-state.js";

describe("steps from one save to the next", () => {
  const cases: [name: string, savesMs: number[], stepsMs: number[], steps: number][] = [
    ["nothing was measured", [], [], 1],
    ["no save was measured", [], [1_000], 1],
    ["a save takes 2 % of a step", [20], [1_000], 1],
    ["a little more", [21], [1_000], 2],
    ["5 % of a step", [50], [1_000], 3],
    ["10 % of a step", [100], [1_000], 5],
    ["longer than a step: losses count more", [3_000], [1_000], 5],
    ["steps that take no time", [1], [0], 5],
    ["neither takes time", [0], [0], 1],
    ["one slow save among quick ones", [10, 900, 10], [1_000], 1],
    ["a store that has become slow", [1, 1, 1, ...Array<number>(8).fill(60)], [1_000], 3],
    ["a first step that loads the model", [40], [90_000, 1_000, 1_000], 2],
  ];
  test.each(cases)("%s", (_name, savesMs, stepsMs, steps) => {
    expect(planSaveSteps(savesMs, stepsMs)).toBe(steps);
  });

  test("saves take 2 % of the steps' time at most, or are five steps apart", () => {
    const duration = fc.integer({ min: 1, max: 1_000_000 });
    fc.assert(
      fc.property(duration, duration, (saveMs, stepMs) => {
        const steps = planSaveSteps([saveMs], [stepMs]);
        const share = saveMs / (steps * stepMs);
        expect(steps >= 1 && steps <= SAVE_STEPS_MAX).toBe(true);
        expect(share <= SAVE_TIME_SHARE_MAX + 1e-9 || steps === SAVE_STEPS_MAX).toBe(true);
      }),
    );
  });
});

const UNGUIDED: DenoisePlan = { ...PLAN, guided: false, stepCount: 20 };

/** The steps after which an unguided clip saves, where each save takes so long. */
function savedSteps(plan: DenoisePlan, stepMs: number, saveMs: number): number[] {
  const steps: number[] = [];
  const events: DenoiseEvent[] = [];
  for (;;) {
    const { state, done } = played(
      plan,
      events.map((event): Line => [event]),
    );
    if (state.kind !== "denoising") return steps;
    const nowMs = (state.step + 1) * stepMs;
    for (const effect of done.flat()) {
      const step = Number(/^save (\d+) /.exec(effect)?.[1] ?? 0);
      if (step === 0 || steps.includes(step)) continue;
      steps.push(step);
      events.push(saved(step, step * stepMs + saveMs));
    }
    events.push(half("cond", nowMs), applied(state.step + 1, nowMs));
  }
}

const paces: [name: string, stepMs: number, saveMs: number, steps: number[]][] = [
  ["a quick store: every step but the last", 1_000, 1, Array.from({ length: 19 }, (_, i) => i + 1)],
  ["a middling store: every third step after the first", 1_000, 50, [1, 4, 7, 10, 13, 16, 19]],
  ["a slow store: every fifth", 1_000, 900, [1, 6, 11, 16]],
];
test.each(paces)("%s", (_name, stepMs, saveMs, steps) => {
  expect(savedSteps(UNGUIDED, stepMs, saveMs)).toEqual(steps);
});

test("a clip that goes on from a step saves after the next one, not there", () => {
  expect(savedSteps({ ...UNGUIDED, resume: checkpointAt(12) }, 1_000, 900)).toEqual([13, 18]);
});

const scenes: [name: string, plan: DenoisePlan, first: string, lines: Line[]][] = [
  [
    "one save at a time: what falls due meanwhile waits for its end",
    UNGUIDED,
    "run cond 0",
    [
      [half("cond", 10), "apply 0"],
      [applied(1, 10), "done 1 in epoch 1", "run cond 1", "save 1 in epoch 1"],
      [half("cond", 20), "apply 1"],
      [applied(2, 20), "done 2 in epoch 1", "run cond 2"],
      [saved(1, 10), "checkpointed 1 in epoch 1"],
      [half("cond", 30), "apply 2"],
      [applied(3, 30), "done 3 in epoch 1", "run cond 3", "save 3 in epoch 1"],
    ],
  ],
  [
    "a save that fails is no failure of the task, and the next one is tried",
    UNGUIDED,
    "run cond 0",
    [
      [half("cond"), "apply 0"],
      [applied(1), "done 1 in epoch 1", "run cond 1", "save 1 in epoch 1"],
      [saveFailed(1)],
      [half("cond"), "apply 1"],
      [applied(2), "done 2 in epoch 1", "run cond 2", "save 2 in epoch 1"],
    ],
  ],
  [
    "of a pair the replica of the unconditional half saves",
    { ...COND, ownHalf: "uncond" },
    "run uncond 0",
    [
      [frame(0, { half: "cond" }), "keep cond 0"],
      [half("uncond"), "send uncond 0 in epoch 1 from latents 0", "apply 0"],
      [applied(1), "done 1 in epoch 1", "run uncond 1", "save 1 in epoch 1"],
    ],
  ],
  [
    "the other replica saves once it is alone, under its new epoch",
    COND,
    "run cond 0",
    [
      [frame(0), "keep uncond 0"],
      [half("cond"), "send cond 0 in epoch 1 from latents 0", "apply 0"],
      [applied(1), "done 1 in epoch 1", "run cond 1"],
      [lost, "deadline 60000", "pair-broken in epoch 1"],
      [alone(2), "clear-deadline", "leave-pair"],
      [half("cond"), "run uncond 1"],
      [half("uncond"), "apply 1"],
      [applied(2), "done 2 in epoch 2", "run uncond 2", "save 2 in epoch 2"],
      [saved(2), "checkpointed 2 in epoch 2"],
    ],
  ],
  [
    "a save that ends after the last step is no news",
    { ...UNGUIDED, stepCount: 2 },
    "run cond 0",
    [
      [half("cond"), "apply 0"],
      [applied(1), "done 1 in epoch 1", "run cond 1", "save 1 in epoch 1"],
      [half("cond"), "apply 1"],
      [applied(2), "done 2 in epoch 1", "ending in epoch 1", "store in epoch 1"],
      [saved(1)],
      [saveFailed(1)],
    ],
  ],
];
test.each(scenes)("%s", (_name, plan, first, lines) => {
  expect(played(plan, lines).done).toEqual(script([first], lines));
});
