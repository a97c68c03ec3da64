/**
 * @file The machine of one denoise task, alone or as one of two equal replicas.
 *
 * Sans I/O: it reads no clock and touches no tensor. Events say what happened, effects say what to
 * do; the shell (or a simulation) does it. A step's halves are named by (step, half), and the shell
 * keeps the tensors under these names.
 *
 * A pair: each replica computes its half, sends it with the digest of the latents that went into
 * it, and makes the step once it has the partner's half of the same step, epoch and plan. After the
 * last step each sends the digest alone, and stores its latents once the partner's are the same.
 * Whoever misses the partner reports "pair-broken", keeps its latents and waits for the coordinator,
 * which lets one replica go on alone under a new epoch.
 *
 * A task that is wanted back is given back at a step boundary: the replica finishes the step in
 * hand, saves the latents and reports "yielded". Both replicas of a pair are asked, and each stops
 * by itself; the coordinator takes the first report and cancels the other replica.
 */
import { assert, assertNever } from "../../shared/core/assert.js";
import type { GuidanceHalf, StepCheckpoint, TaskReport } from "../../shared/farm/work.js";
import {
  after,
  drop,
  end,
  fail,
  giveBack,
  leavePair,
  reduceEnding,
  type Step,
  store,
} from "./denoise-ending.js";
import { beginSave, endSave, failSave, isSaveDue, noSavesYet } from "./denoise-saves.js";
import type {
  DenoiseEffect,
  DenoiseEvent,
  DenoisePlan,
  DenoiseState,
  Denoising,
  DropReason,
  FrameFacts,
} from "./denoise-state.js";
import { partnerDeadlineMs, secondsPerStep } from "./denoise-timing.js";

/** The coordinator answers "pair-broken" within its own lease times; this is far beyond. */
const COORDINATOR_MS_MAX = 60_000;
/** Asked to give the task back: how much later than the own half the partner's may make the step. */
const YIELD_WAIT_MS_MAX = 1_000;

/** @param digest of the latents that `plan` begins with; null where there is no partner */
export function startDenoise(
  plan: DenoisePlan,
  epoch: number,
  digest: string | null,
  nowMs: number,
): Step {
  const step = plan.resume?.step ?? 0;
  if (step >= plan.stepCount) return store({ epoch, startMs: nowMs, stepsMs: [] });
  return advance({
    kind: "denoising",
    plan,
    epoch,
    step,
    digest,
    doing: { kind: "nothing" },
    have: { uncond: false, cond: false },
    partnership:
      plan.ownHalf === null
        ? { kind: "none" }
        : { kind: "together", aheadDigest: null, lostReason: null },
    yieldAsked: false,
    saves: noSavesYet(plan.resume),
    startMs: nowMs,
    stepStartMs: nowMs,
    halfMs: 0,
    stepsMs: [],
  });
}

/** Pure. What comes too late for the state it meets changes nothing. */
export function reduceDenoise(state: DenoiseState, event: DenoiseEvent): Step {
  return state.kind === "denoising" ? reduceSteps(state, event) : reduceEnding(state, event);
}

function reduceSteps(state: Denoising, event: DenoiseEvent): Step {
  switch (event.kind) {
    case "half-done":
      return takeHalf(state, event.half, event.nowMs);
    case "applied":
      return takeStep(state, event.digest, event.nowMs);
    case "saved":
      return takeSaved(state, event.checkpoint, event.nowMs);
    case "save-failed":
      return [{ ...state, saves: failSave(state.saves, event.step) }, []];
    case "frame":
      return takeFrame(state, event.frame);
    case "lost":
      return losePartner(state, event.reason);
    case "deadline":
      return passDeadline(state);
    case "continue-alone":
      return event.newEpoch > state.epoch ? continueAlone(state, event.newEpoch) : [state, []];
    case "yield":
      return askToYield(state, event.atOnce);
    case "cancel":
      return end(state, null);
    case "fault":
      return fail(state, event.code, event.detail);
    case "stored":
      return [state, []];
    default:
      return assertNever(event);
  }
}

/** Starts whatever can be done now; nothing while something is being done. */
function advance(state: Denoising): Step {
  if (state.doing.kind !== "nothing" || state.partnership.kind === "broken") return [state, []];
  const { plan, step, have, partnership } = state;
  if (step === plan.stepCount) return conclude(state);
  const missing = halvesOf(plan).filter((half) => !have[half]);
  if (missing.length === 0) {
    return [{ ...state, doing: { kind: "apply" } }, [{ kind: "apply", step }]];
  }
  if (partnership.kind === "none") return runHalf(state, missing[0]!);
  if (partnership.lostReason !== null && missing.includes(partnerHalf(plan))) {
    return breakPair(state, partnership.lostReason);
  }
  if (missing.includes(plan.ownHalf!)) return runHalf(state, plan.ownHalf!);
  return [state, [{ kind: "set-deadline", ms: waitMs(state) }]];
}

/** All steps are made: the latents are good once the partner says that it has the same. */
function conclude(state: Denoising): Step {
  const { partnership, digest, epoch, startMs, stepsMs } = state;
  if (partnership.kind === "together") {
    if (partnership.aheadDigest === null) {
      if (partnership.lostReason !== null) return breakPair(state, partnership.lostReason);
      return [state, [{ kind: "set-deadline", ms: waitMs(state) }]];
    }
    if (partnership.aheadDigest !== digest) return diverge(state);
  }
  return after(leavePair(state), store({ epoch, startMs, stepsMs }));
}

/** How long the partner's half may be missing once the own one is there. */
function waitMs({ stepsMs, halfMs, yieldAsked }: Denoising): number {
  const ms = partnerDeadlineMs(stepsMs, halfMs);
  return yieldAsked ? Math.min(ms, YIELD_WAIT_MS_MAX) : ms;
}

function runHalf(state: Denoising, half: GuidanceHalf): Step {
  const { step } = state;
  return [{ ...state, doing: { kind: "half", half } }, [{ kind: "run-half", step, half }]];
}

function takeHalf(state: Denoising, half: GuidanceHalf, nowMs: number): Step {
  if (state.doing.kind !== "half" || state.doing.half !== half) return [state, []];
  const { step, epoch, digest, partnership } = state;
  const [next, effects] = advance({
    ...state,
    doing: { kind: "nothing" },
    have: { ...state.have, [half]: true },
    halfMs: nowMs - state.stepStartMs,
  });
  if (partnership.kind !== "together") return [next, effects];
  assert(digest !== null, "the digest of the latents that a pair works on");
  return [next, [{ kind: "send-half", step, half, epoch, latentsDigest: digest }, ...effects]];
}

function takeStep(state: Denoising, digest: string | null, nowMs: number): Step {
  if (state.doing.kind !== "apply") return [state, []];
  const { plan, epoch } = state;
  const step = state.step + 1;
  const stepsMs = [...state.stepsMs, nowMs - state.stepStartMs];
  const progress: DenoiseEffect = {
    kind: "report",
    epoch,
    report: { kind: "progress", stepsDone: step, secondsPerStep: secondsPerStep(stepsMs) },
  };
  const next: Denoising = {
    ...state,
    step,
    digest,
    doing: { kind: "nothing" },
    have: { uncond: false, cond: false },
    stepStartMs: nowMs,
    stepsMs,
  };
  if (step === plan.stepCount) return after([progress, ...sendDigest(next)], conclude(next));
  if (state.yieldAsked) return after([progress], giveBack(next));
  return after([progress], saveIfDue(beginStep(next), nowMs));
}

function sendDigest({ partnership, plan, step, epoch, digest }: Denoising): DenoiseEffect[] {
  if (partnership.kind !== "together") return [];
  assert(digest !== null, "the digest of the latents that a pair has made");
  return [{ kind: "send-digest", step, half: plan.ownHalf!, epoch, latentsDigest: digest }];
}

/** With the partner's half, where that came during the step before. */
function beginStep(state: Denoising): Step {
  const { plan, partnership, digest } = state;
  if (partnership.kind !== "together" || partnership.aheadDigest === null) return advance(state);
  if (partnership.aheadDigest !== digest) return diverge(state);
  const have = { ...state.have, [partnerHalf(plan)]: true };
  return advance({ ...state, have, partnership: { ...partnership, aheadDigest: null } });
}

/** After the effects that set the next step going, which need not wait for it. */
function saveIfDue([state, effects]: Step, nowMs: number): Step {
  if (state.kind !== "denoising" || !isSaver(state)) return [state, effects];
  const { step, epoch, saves, stepsMs } = state;
  if (!isSaveDue(saves, step, stepsMs)) return [state, effects];
  const saving = { ...state, saves: beginSave(saves, step, nowMs) };
  return [saving, [...effects, { kind: "save", step, epoch }]];
}

/** Both replicas of a pair hold the same bytes: one of them saves. */
function isSaver({ plan, partnership }: Denoising): boolean {
  return plan.ownHalf !== "cond" || partnership.kind === "none";
}

/** A half of this step is kept, one of the next step is kept while there is none, the rest dropped. */
function takeFrame(state: Denoising, frame: FrameFacts): Step {
  const { plan, epoch, step, have, partnership } = state;
  const refused = (reason: DropReason): Step => [state, [drop(reason)]];
  if (partnership.kind === "none") return refused("not-paired");
  if (frame.epoch !== epoch) return refused("epoch");
  if (frame.planHash !== plan.planHash) return refused("plan-hash");
  if (frame.half !== partnerHalf(plan)) return refused("half");
  if (frame.step < step) return refused("step-passed");
  if (frame.step === plan.stepCount) return takeLastDigest(state, frame.latentsDigest);

  const keep: DenoiseEffect = { kind: "keep-half", step: frame.step, half: frame.half };
  if (frame.step === step) {
    if (have[frame.half]) return refused("duplicate");
    if (frame.latentsDigest !== state.digest) return diverge(state);
    const isAwaited = partnership.kind === "together" && state.doing.kind === "nothing";
    const stop: DenoiseEffect[] = isAwaited ? [{ kind: "clear-deadline" }] : [];
    const kept = { ...state, have: { ...have, [frame.half]: true } };
    return after([keep, ...stop], advance(kept));
  }
  const isNext = frame.step === step + 1;
  if (!isNext || partnership.kind === "broken") return refused("step-beyond");
  if (partnership.aheadDigest !== null) return refused("duplicate");
  const ahead = { ...partnership, aheadDigest: frame.latentsDigest };
  return [{ ...state, partnership: ahead }, [keep]];
}

/** What the partner has after its last step; this replica may have one step to make. */
function takeLastDigest(state: Denoising, aheadDigest: string): Step {
  const { partnership, plan, step } = state;
  if (partnership.kind !== "together" || step < plan.stepCount - 1)
    return [state, [drop("step-beyond")]];
  if (partnership.aheadDigest !== null) return [state, [drop("duplicate")]];
  const told = { ...state, partnership: { ...partnership, aheadDigest } };
  return step === plan.stepCount ? conclude(told) : [told, []];
}

/** What the partner has sent is still good: the pair breaks only once a half of it is missing. */
function losePartner(state: Denoising, lostReason: string): Step {
  const { partnership, plan, have } = state;
  if (partnership.kind !== "together" || partnership.lostReason !== null) return [state, []];
  const lost = { ...state, partnership: { ...partnership, lostReason } };
  return have[partnerHalf(plan)] ? [lost, []] : breakPair(lost, lostReason);
}

function passDeadline(state: Denoising): Step {
  switch (state.partnership.kind) {
    case "none":
      return [state, []];
    case "together": {
      if (state.doing.kind !== "nothing") return [state, []];
      return breakPair(state, `no ${missingOf(state)} came within ${waitMs(state)} ms`);
    }
    case "broken":
      return fail(
        state,
        "deadline",
        `no word of the coordinator ${COORDINATOR_MS_MAX} ms after the pair broke`,
      );
    default:
      return assertNever(state.partnership);
  }
}

/** What this replica waits for. */
function missingOf({ plan, step }: Denoising): string {
  if (step === plan.stepCount) return "word on the last step's latents";
  return `${partnerHalf(plan)} half of step ${step}`;
}

/** Without the partner the step cannot be made: who is asked to yield does so here. */
function breakPair(state: Denoising, reason: string): Step {
  if (state.yieldAsked) return giveBack(state);
  const { step, epoch } = state;
  return [
    { ...state, partnership: { kind: "broken" } },
    [
      { kind: "set-deadline", ms: COORDINATOR_MS_MAX },
      { kind: "report", epoch, report: { kind: "pair-broken", step, reason } },
    ],
  ];
}

/**
 * A step in hand is finished first; who waits, for the partner or for the coordinator, has none. A
 * step that is being applied is as good as made.
 */
function askToYield(state: Denoising, atOnce: boolean): Step {
  const { doing, partnership } = state;
  const hasStepInHand = doing.kind === "half" && partnership.kind !== "broken" && !atOnce;
  if (hasStepInHand || doing.kind === "apply") return [{ ...state, yieldAsked: true }, []];
  return giveBack(state);
}

function takeSaved(state: Denoising, checkpoint: StepCheckpoint, nowMs: number): Step {
  const { epoch, saves } = state;
  const report: TaskReport = { kind: "checkpointed", checkpoint };
  return [
    { ...state, saves: endSave(saves, checkpoint, nowMs) },
    [{ kind: "report", epoch, report }],
  ];
}

/** Halves at hand stay good: they are of this very step. */
function continueAlone(state: Denoising, newEpoch: number): Step {
  const alone: Denoising = { ...state, epoch: newEpoch, partnership: { kind: "none" } };
  const wasWaiting = state.doing.kind === "nothing";
  const next = state.yieldAsked && wasWaiting ? giveBack(alone) : advance(alone);
  return after(leavePair(state), next);
}

/** The replicas computed the same steps and hold other bytes: neither can be trusted. */
function diverge(state: Denoising): Step {
  return fail(state, "numerical", `the replicas diverged at step ${state.step}`);
}

/** In the order in which a replica that is alone computes them. */
function halvesOf(plan: DenoisePlan): readonly GuidanceHalf[] {
  return plan.guided ? ["uncond", "cond"] : ["cond"];
}

function partnerHalf(plan: DenoisePlan): GuidanceHalf {
  return plan.ownHalf === "cond" ? "uncond" : "cond";
}
