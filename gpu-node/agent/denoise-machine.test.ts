import { expect, test } from "vitest";
import { reduceDenoise, startDenoise } from "./denoise-machine.js";
import {
  alone,
  applied,
  blob,
  COND,
  cancel,
  deadline,
  digest,
  fault,
  frame,
  giveBack,
  half,
  type Line,
  lost,
  PLAN,
  play as played,
  saved,
  script,
  stored,
  told,
} from "./denoise-play.js";
import type { DenoiseEvent, DenoisePlan, FrameFacts } from "./denoise-state.js";

const STORING = ["ending in epoch 1", "store in epoch 1"];

function play(plan: DenoisePlan, first: string[], lines: readonly Line[]): void {
  expect(played(plan, lines).done).toEqual(script(first, lines));
}

test("alone with guidance: uncond, cond, step, and so on; then the latents are stored", () => {
  play(
    { ...PLAN, stepCount: 2 },
    ["run uncond 0"],
    [
      [half("uncond"), "run cond 0"],
      [half("cond"), "apply 0"],
      [applied(1), "done 1 in epoch 1", "run uncond 1", "save 1 in epoch 1"],
      [half("uncond"), "run cond 1"],
      [half("cond"), "apply 1"],
      [applied(2), "done 2 in epoch 1", ...STORING],
      [stored, "finished in epoch 1"],
    ],
  );
});

test("alone without guidance: only the conditional half", () => {
  play(
    { ...PLAN, guided: false, stepCount: 1 },
    ["run cond 0"],
    [
      [half("cond"), "apply 0"],
      [applied(1), "done 1 in epoch 1", ...STORING],
    ],
  );
});

test("a pair: own half, the partner's, step; the partner may be first or a step ahead", () => {
  play(
    COND,
    ["run cond 0"],
    [
      [half("cond"), "send cond 0 in epoch 1 from latents 0", "deadline 60000"],
      [frame(0), "keep uncond 0", "clear-deadline", "apply 0"],
      [applied(1), "done 1 in epoch 1", "run cond 1"],
      [frame(1), "keep uncond 1"],
      [half("cond"), "send cond 1 in epoch 1 from latents 1", "apply 1"],
      [frame(2), "keep uncond 2"],
      [applied(2), "done 2 in epoch 1", "run cond 2"],
      [half("cond"), "send cond 2 in epoch 1 from latents 2", "apply 2"],
      [applied(3), "done 3 in epoch 1", "send latents 3 in epoch 1", "deadline 10000"],
      [frame(3), "clear-deadline", "leave-pair", ...STORING],
      [stored, "finished in epoch 1"],
    ],
  );
});

/** A clip of one step, made; the replica waits for the partner's word. */
const made: Line[] = [
  [frame(0), "keep uncond 0"],
  [half("cond"), "send cond 0 in epoch 1 from latents 0", "apply 0"],
  [applied(1), "done 1 in epoch 1", "send latents 1 in epoch 1", "deadline 10000"],
];
const leaving = ["clear-deadline", "leave-pair"];

test.each<[name: string, lines: Line[]]>([
  [
    "the same latents: they are stored",
    [...made, [frame(1), ...leaving, ...STORING], [frame(1), "drop not-paired"]],
  ],
  [
    "the same latents, told before this replica has made its step",
    [
      ...made.slice(0, 2),
      [frame(1)],
      [frame(1), "drop duplicate"],
      [
        applied(1),
        ...[
          "done 1 in epoch 1",
          "send latents 1 in epoch 1",
          ...leaving,
          "ending in epoch 1",
          "store in epoch 1",
        ],
      ],
    ],
  ],
  [
    "the same latents, and then the partner is gone",
    [
      ...made.slice(0, 2),
      [frame(1)],
      [lost],
      [
        applied(1),
        ...[
          "done 1 in epoch 1",
          "send latents 1 in epoch 1",
          ...leaving,
          "ending in epoch 1",
          "store in epoch 1",
        ],
      ],
    ],
  ],
  [
    "other latents: neither replica is believed",
    [...made, [frame(1, { latentsDigest: "other" }), ...leaving, "failed in epoch 1"]],
  ],
  [
    "other latents, told before this replica has made its step",
    [
      ...made.slice(0, 2),
      [frame(1, { latentsDigest: "other" })],
      [
        applied(1),
        "done 1 in epoch 1",
        "send latents 1 in epoch 1",
        ...leaving,
        "failed in epoch 1",
      ],
    ],
  ],
  [
    "the partner is gone: the coordinator chooses who stores what it has",
    [
      ...made,
      [lost, "deadline 60000", "pair-broken in epoch 1"],
      [frame(1), "drop step-beyond"],
      [alone(2), ...leaving, "ending in epoch 2", "store in epoch 2"],
    ],
  ],
  [
    "nothing comes in time: as when the partner is gone",
    [
      ...made,
      [deadline, "deadline 60000", "pair-broken in epoch 1"],
      [alone(2), ...leaving, "ending in epoch 2", "store in epoch 2"],
    ],
  ],
  [
    "the task is wanted back meanwhile",
    [
      ...made,
      [giveBack, ...leaving, "deadline 10000", "save 1 in epoch 1"],
      [saved(1), "clear-deadline", "yielded 1 in epoch 1"],
    ],
  ],
])("after the last step of a pair, %s", (_name, lines) => {
  play({ ...COND, stepCount: 1 }, ["run cond 0"], lines);
});

test("a partner that is late is given three median steps, but no less than ten seconds", () => {
  const plan = { ...COND, stepCount: 9 };
  let [state] = startDenoise(plan, 1, digest(0), 0);
  let waits: number[] = [];
  const durationsMs = [1_000, 8_000, 9_000, 100_000];
  let nowMs = 0;
  durationsMs.forEach((ms, step) => {
    nowMs += ms;
    for (const event of [half("cond", nowMs), frame(step), applied(step + 1, nowMs)]) {
      const [next, effects] = reduceDenoise(state, event);
      waits = [...waits, ...effects.flatMap((e) => (e.kind === "set-deadline" ? [e.ms] : []))];
      state = next;
    }
  });
  // Before the first step is measured: 60 s; then 3 x median of [1 s], [1, 8], [1, 8, 9].
  expect(waits).toEqual([60_000, 10_000, 13_500, 24_000]);
});

test("the first wait goes by the own half, where that was slow", () => {
  const [state] = startDenoise(COND, 1, digest(0), 0);
  const [, effects] = reduceDenoise(state, half("cond", 50_000));
  expect(effects.map(told)).toContain("deadline 150000");
});

const waiting: Line[] = [[half("cond"), "send cond 0 in epoch 1 from latents 0", "deadline 60000"]];
const broken: Line[] = [...waiting, [lost, "deadline 60000", "pair-broken in epoch 1"]];

const scenarios: [name: string, lines: Line[]][] = [
  [
    "lost while it waits: goes on from the same step with the half it has, in the new epoch",
    [
      ...broken,
      [alone(2), "clear-deadline", "leave-pair", "run uncond 0"],
      [half("uncond"), "apply 0"],
      [applied(1), "done 1 in epoch 2", "run uncond 1", "save 1 in epoch 2"],
    ],
  ],
  [
    "lost while the own half runs: that run counts",
    [
      [lost, "deadline 60000", "pair-broken in epoch 1"],
      [alone(2), "clear-deadline", "leave-pair"],
      [half("cond"), "run uncond 0"],
      [half("uncond"), "apply 0"],
    ],
  ],
  [
    "lost while the own half runs, and it ends before the coordinator's word: no step is made",
    [
      [lost, "deadline 60000", "pair-broken in epoch 1"],
      [half("cond")],
      [alone(2), "clear-deadline", "leave-pair", "run uncond 0"],
    ],
  ],
  [
    "lost with its half at hand: the step is made, then the pair breaks",
    [
      [frame(0), "keep uncond 0"],
      [lost],
      [half("cond"), "send cond 0 in epoch 1 from latents 0", "apply 0"],
      [applied(1), "done 1 in epoch 1", "deadline 60000", "pair-broken in epoch 1"],
      [alone(2), "clear-deadline", "leave-pair", "run uncond 1"],
    ],
  ],
  [
    "lost with its halves of this step and the next at hand: both are made",
    [
      ...waiting,
      [frame(0), "keep uncond 0", "clear-deadline", "apply 0"],
      [frame(1), "keep uncond 1"],
      [lost],
      [applied(1), "done 1 in epoch 1", "run cond 1"],
      [half("cond"), "send cond 1 in epoch 1 from latents 1", "apply 1"],
      [applied(2), "done 2 in epoch 1", "deadline 60000", "pair-broken in epoch 1"],
    ],
  ],
  [
    "late: the deadline breaks the pair; its half comes after all and is used",
    [
      ...waiting,
      [deadline, "deadline 60000", "pair-broken in epoch 1"],
      [frame(0), "keep uncond 0"],
      [alone(2), "clear-deadline", "leave-pair", "apply 0"],
    ],
  ],
  [
    "gone by the coordinator's word alone, before anything was noticed here",
    [
      [alone(2), "clear-deadline", "leave-pair"],
      [half("cond"), "run uncond 0"],
      [lost],
      [frame(0), "drop not-paired"],
    ],
  ],
  [
    "a half of the next step is not used once the pair is broken: it is computed again",
    [
      ...waiting,
      [frame(1), "keep uncond 1"],
      [lost, "deadline 60000", "pair-broken in epoch 1"],
      [alone(2), "clear-deadline", "leave-pair", "run uncond 0"],
      [half("uncond"), "apply 0"],
      [applied(1), "done 1 in epoch 2", "run uncond 1", "save 1 in epoch 2"],
    ],
  ],
  [
    "no word of the coordinator",
    [...broken, [deadline, "clear-deadline", "leave-pair", "failed in epoch 1"]],
  ],
  [
    "another digest: the replicas diverged",
    [
      ...waiting,
      [frame(0, { latentsDigest: "x" }), "clear-deadline", "leave-pair", "failed in epoch 1"],
      [alone(2), "failed in epoch 2"],
    ],
  ],
  [
    "another digest a step ahead: seen when that step is reached",
    [
      ...waiting,
      [frame(0), "keep uncond 0", "clear-deadline", "apply 0"],
      [frame(1, { latentsDigest: "x" }), "keep uncond 1"],
      [applied(1), "done 1 in epoch 1", "clear-deadline", "leave-pair", "failed in epoch 1"],
    ],
  ],
  [
    "cancelled while it waits, and whatever comes later changes nothing",
    [
      ...waiting,
      [cancel, "clear-deadline", "leave-pair"],
      [frame(0), "drop not-paired"],
      [lost],
      [deadline],
      [fault],
      [cancel],
      [alone(2)],
    ],
  ],
  [
    "cancelled while a half runs: the run's end changes nothing",
    [[cancel, "clear-deadline", "leave-pair"], [half("cond")], [applied(1)], [stored]],
  ],
  [
    "a fault is reported, and again when it crossed the coordinator's order",
    [
      [fault, "clear-deadline", "leave-pair", "failed in epoch 1"],
      [alone(2), "failed in epoch 2"],
      [alone(2)],
    ],
  ],
  ["a deadline that was taken back fires all the same", [[deadline]]],
  ["an order of an old epoch", [...broken, [alone(1)]]],
];

test.each(scenarios)("a pair, partner: %s", (_name, lines) => {
  play(COND, ["run cond 0"], lines);
});

const drops: [name: string, change: Partial<FrameFacts> & { step?: number }, reason: string][] = [
  ["an older epoch", { epoch: 0 }, "epoch"],
  ["a newer epoch", { epoch: 2 }, "epoch"],
  ["another plan", { planHash: "q" }, "plan-hash"],
  ["the own half", { half: "cond" }, "half"],
  ["two steps ahead", { step: 3 }, "step-beyond"],
  ["a step that is over", { step: 0 }, "step-passed"],
];

test.each(drops)("a frame of %s is dropped", (_name, change, reason) => {
  play(
    { ...COND, stepCount: 9 },
    ["run cond 0"],
    [
      ...waiting,
      [frame(0), "keep uncond 0", "clear-deadline", "apply 0"],
      [applied(1), "done 1 in epoch 1", "run cond 1"],
      [frame(change.step ?? 1, change), `drop ${reason}`],
      [frame(1), "keep uncond 1"],
      [frame(1), "drop duplicate"],
      [frame(2), "keep uncond 2"],
      [frame(2), "drop duplicate"],
    ],
  );
});

test("a half of a step that does not exist is dropped", () => {
  play({ ...COND, stepCount: 1 }, ["run cond 0"], [[frame(2), "drop step-beyond"]]);
});

test("the partner's death while the last latents are stored changes the epoch, not the work", () => {
  const ready: Line[] = [...made, [frame(1), "clear-deadline", "leave-pair", ...STORING]];
  const plan = { ...COND, stepCount: 1 };
  play(
    plan,
    ["run cond 0"],
    [...ready, [lost], [alone(2), "ending in epoch 2"], [stored, "finished in epoch 2"]],
  );
  play(
    plan,
    ["run cond 0"],
    [...ready, [stored, "finished in epoch 1"], [alone(2), "finished in epoch 2"], [alone(2)]],
  );
  play(plan, ["run cond 0"], [...ready, [cancel], [stored]]);
});

test("the result says how long all of it and a step took", () => {
  const plan = { ...PLAN, guided: false, stepCount: 3 };
  let [state] = startDenoise(plan, 1, digest(0), 1_000);
  for (const [step, nowMs] of [
    [1, 2_000],
    [2, 5_000],
    [3, 7_000],
  ] as const) {
    [state] = reduceDenoise(state, half("cond", nowMs));
    [state] = reduceDenoise(state, applied(step, nowMs));
  }
  [state] = reduceDenoise(state, { ...stored, nowMs: 7_500 } as DenoiseEvent);
  expect(state).toMatchObject({
    kind: "ended",
    report: { kind: "finished", result: { blob, outputs: [], seconds: 6.5, secondsPerStep: 2 } },
  });
});
