import { expect, test } from "vitest";
import {
  alone,
  applied,
  COND,
  cancel,
  checkpointAt,
  deadline,
  fault,
  frame,
  giveBack,
  giveBackAtOnce,
  half,
  type Line,
  lost,
  PLAN,
  play,
  saved,
  saveFailed,
  script,
  stored,
} from "./denoise-play.js";
import type { DenoisePlan } from "./denoise-state.js";

const LONE: DenoisePlan = { ...PLAN, guided: false, stepCount: 9 };
const RESUMED: DenoisePlan = { ...LONE, resume: checkpointAt(4) };

/** Steps 0 and 1 alone; the latents of step 1 are in the store. */
const second: Line[] = [
  [half("cond", 9), "apply 0"],
  [applied(1, 9), "done 1 in epoch 1", "run cond 1", "save 1 in epoch 1"],
  [saved(1, 99), "checkpointed 1 in epoch 1"],
];
const yielding: Line[] = [
  ...second,
  [giveBack],
  [half("cond", 18), "apply 1"],
  [applied(2, 18), "done 2 in epoch 1", "deadline 10000", "save 2 in epoch 1"],
];

const lone: [name: string, plan: DenoisePlan, lines: Line[]][] = [
  [
    "asked during a step: the step is made, its latents are saved, and the task goes back with them",
    LONE,
    [...yielding, [saved(2), "clear-deadline", "yielded 2 in epoch 1"], [saved(2)]],
  ],
  ["asked twice: given back once", LONE, [...yielding, [giveBack], [giveBackAtOnce]]],
  [
    "the store does not take them: the latents saved before are good",
    LONE,
    [...yielding, [saveFailed(2), "clear-deadline", "yielded 1 in epoch 1"]],
  ],
  [
    "the store does not answer: as well, after ten seconds",
    LONE,
    [...yielding, [deadline, "clear-deadline", "yielded 1 in epoch 1"], [saved(2)]],
  ],
  [
    "asked in the first step of a clip: that step is made",
    LONE,
    [
      [giveBack],
      [half("cond"), "apply 0"],
      [applied(1), "done 1 in epoch 1", "deadline 10000", "save 1 in epoch 1"],
    ],
  ],
  [
    "asked while a step is applied: that step counts",
    LONE,
    [
      [half("cond"), "apply 0"],
      [giveBackAtOnce],
      [applied(1), "done 1 in epoch 1", "deadline 10000", "save 1 in epoch 1"],
    ],
  ],
  [
    "at once in the first step: nothing was made, nothing is saved",
    LONE,
    [[giveBackAtOnce, "yielded nothing in epoch 1"], [half("cond")]],
  ],
  [
    "at once in the first step of a clip that went on from a step: back with what it began from",
    RESUMED,
    [[giveBackAtOnce, "yielded 4 in epoch 1"]],
  ],
  [
    "at once with the latents of this step in the store: nothing is saved again",
    LONE,
    [...second, [giveBackAtOnce, "yielded 1 in epoch 1"]],
  ],
  [
    "at once with the latents of this step on their way: they are waited for",
    LONE,
    [
      ...second.slice(0, 2),
      [giveBackAtOnce, "deadline 10000"],
      [half("cond")],
      [saved(1), "clear-deadline", "yielded 1 in epoch 1"],
    ],
  ],
  [
    "with an older save on its way: it is what the task goes back with if the new one fails",
    LONE,
    [
      ...second.slice(0, 2),
      [giveBack],
      [half("cond"), "apply 1"],
      [applied(2), "done 2 in epoch 1", "deadline 10000", "save 2 in epoch 1"],
      [saved(1)],
      [saveFailed(2), "clear-deadline", "yielded 1 in epoch 1"],
    ],
  ],
  [
    "a run in hand that fails after the task was given back is no fault of the task",
    LONE,
    [
      ...second.slice(0, 2),
      [giveBackAtOnce, "deadline 10000"],
      [fault],
      [saved(1), "clear-deadline", "yielded 1 in epoch 1"],
    ],
  ],
  [
    "a run that fails before the step is made is one",
    LONE,
    [[giveBack], [fault, "failed in epoch 1"]],
  ],
  [
    "cancelled while the latents are saved: nobody asks for them any more",
    LONE,
    [...yielding, [cancel, "clear-deadline"], [saved(2)], [deadline]],
  ],
  [
    "in the last step: it finishes",
    { ...LONE, stepCount: 1 },
    [
      [giveBack],
      [half("cond"), "apply 0"],
      [applied(1), "done 1 in epoch 1", "ending in epoch 1", "store in epoch 1"],
      [giveBack],
      [giveBackAtOnce],
      [stored, "finished in epoch 1"],
      [giveBack],
    ],
  ],
];
test.each(lone)("alone, %s", (_name, plan, lines) => {
  const first = [`run cond ${plan.resume?.step ?? 0}`];
  expect(play(plan, lines).done).toEqual(script(first, lines));
});

test("alone with guidance: both halves of the step in hand are computed", () => {
  const lines: Line[] = [
    [giveBack],
    [half("uncond"), "run cond 0"],
    [half("cond"), "apply 0"],
    [applied(1), "done 1 in epoch 1", "deadline 10000", "save 1 in epoch 1"],
  ];
  expect(play(PLAN, lines).done).toEqual(script(["run uncond 0"], lines));
});

const waiting: Line[] = [[half("cond"), "send cond 0 in epoch 1 from latents 0", "deadline 60000"]];
/** Step 0 is made; step 1 waits for the partner's half. */
const waiting1: Line[] = [
  ...waiting,
  [frame(0), "keep uncond 0", "clear-deadline", "apply 0"],
  [applied(1), "done 1 in epoch 1", "run cond 1"],
  [half("cond"), "send cond 1 in epoch 1 from latents 1", "deadline 10000"],
];
const left = ["clear-deadline", "leave-pair"];
const back1 = [...left, "deadline 10000", "save 1 in epoch 1"];

const pair: [name: string, lines: Line[]][] = [
  ["asked while it waits for the partner: at once", [...waiting1, [giveBack, ...back1]]],
  [
    "asked while it waits in the first step: back with nothing",
    [...waiting, [giveBack, ...left, "yielded nothing in epoch 1"]],
  ],
  [
    "asked while it waits for the coordinator: at once",
    [
      ...waiting1,
      [lost, "deadline 60000", "pair-broken in epoch 1"],
      [giveBack, ...back1],
      [saved(1), "clear-deadline", "yielded 1 in epoch 1"],
    ],
  ],
  [
    "asked while the own half runs, the partner's is there: the step is made",
    [
      [frame(0), "keep uncond 0"],
      [giveBack],
      [half("cond"), "send cond 0 in epoch 1 from latents 0", "apply 0"],
      [applied(1), "done 1 in epoch 1", ...back1],
    ],
  ],
  [
    "asked while the own half runs: the partner's makes the step if it comes within a second",
    [
      [giveBack],
      [half("cond"), "send cond 0 in epoch 1 from latents 0", "deadline 1000"],
      [frame(0), "keep uncond 0", "clear-deadline", "apply 0"],
      [applied(1), "done 1 in epoch 1", ...back1],
    ],
  ],
  [
    "else it stops without that step",
    [
      [giveBack],
      [half("cond"), "send cond 0 in epoch 1 from latents 0", "deadline 1000"],
      [deadline, ...left, "yielded nothing in epoch 1"],
      [frame(0), "drop not-paired"],
    ],
  ],
  [
    "the partner has stopped first: it is not waited for",
    [
      [giveBack],
      [half("cond"), "send cond 0 in epoch 1 from latents 0", "deadline 1000"],
      [lost, ...left, "yielded nothing in epoch 1"],
    ],
  ],
  [
    "the partner has stopped while the own half runs: the step cannot be made",
    [[giveBack], [lost, ...left, "yielded nothing in epoch 1"], [half("cond")]],
  ],
  [
    "a half of the next step is at hand: that step is not begun",
    [
      ...waiting1.slice(0, 2),
      [frame(1), "keep uncond 1"],
      [giveBack],
      [applied(1), "done 1 in epoch 1", ...back1],
    ],
  ],
  [
    "chosen to go on alone while it waits: it stops under the new epoch",
    [
      [giveBack],
      [half("cond"), "send cond 0 in epoch 1 from latents 0", "deadline 1000"],
      [alone(2), ...left, "yielded nothing in epoch 2"],
      [giveBack],
    ],
  ],
  [
    "chosen to go on alone while the own half runs: it makes the step, then stops",
    [
      [giveBack],
      [alone(2), ...left],
      [half("cond"), "run uncond 0"],
      [half("uncond"), "apply 0"],
      [applied(1), "done 1 in epoch 2", "deadline 10000", "save 1 in epoch 2"],
      [saved(1), "clear-deadline", "yielded 1 in epoch 2"],
    ],
  ],
  [
    "its report crosses the order to go on alone: it is made again under the new epoch",
    [
      ...waiting,
      [giveBack, ...left, "yielded nothing in epoch 1"],
      [alone(2), "yielded nothing in epoch 2"],
    ],
  ],
  [
    "the order to go on alone comes while the latents are saved: they are reported under its epoch",
    [
      ...waiting1,
      [giveBack, ...back1],
      [alone(2)],
      [saved(1), "clear-deadline", "yielded 1 in epoch 2"],
    ],
  ],
  [
    "the replicas diverged: that is a failure all the same",
    [[giveBack], [frame(0, { latentsDigest: "x" }), ...left, "failed in epoch 1"]],
  ],
];
test.each(pair)("a pair, %s", (_name, lines) => {
  expect(play({ ...COND, stepCount: 9 }, lines).done).toEqual(script(["run cond 0"], lines));
});

test("goes on from a step: both replicas of a pair begin with its halves", () => {
  const plan: DenoisePlan = { ...COND, stepCount: 9, resume: checkpointAt(4) };
  const lines: Line[] = [
    [frame(3), "drop step-passed"],
    [frame(4), "keep uncond 4"],
    [half("cond"), "send cond 4 in epoch 1 from latents 4", "apply 4"],
    [applied(5), "done 5 in epoch 1", "run cond 5"],
  ];
  expect(play(plan, lines).done).toEqual(script(["run cond 4"], lines));
});

test("goes on from after the last step: only the latents are stored", () => {
  const plan: DenoisePlan = { ...LONE, resume: checkpointAt(9) };
  const lines: Line[] = [[stored, "finished in epoch 1"]];
  expect(play(plan, lines).done).toEqual(script(["ending in epoch 1", "store in epoch 1"], lines));
});
