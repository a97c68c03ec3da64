/**
 * @file The machine of one denoise task, alone or as one of two equal replicas.
 *
 * Sans I/O: it reads no clock and touches no tensor. Events say what happened, effects say what to
 * do; the shell (or a simulation) does it. A step's halves are named by (step, half), and the shell
 * keeps the tensors under these names.
 *
 * A pair: each replica computes its half, sends it with the digest of the latents that went into
 * it, and makes the step once it has the partner's half of the same step, epoch and plan. Whoever
 * misses the partner reports "pair-broken", keeps its latents and waits for the coordinator, which
 * lets one replica go on alone under a new epoch.
 */
import { assertNever } from "../../shared/core/assert.js";
import type { FarmErrorCode } from "../../shared/core/errors.js";
import type { GuidanceHalf, TaskReport } from "../../shared/farm/work.js";
import type { BlobRef } from "../../shared/ports/blob-store.js";
import type {
  DenoiseEffect,
  DenoiseEvent,
  DenoisePlan,
  DenoiseState,
  Denoising,
  DropReason,
  FrameFacts,
  Storing,
} from "./denoise-state.js";

type Step = readonly [next: DenoiseState, effects: readonly DenoiseEffect[]];

/** A partner may be late by this factor of the median step. */
const LATE_FACTOR = 3;
/** But never by less than this: short steps are no reason for a false alarm. */
const LATE_MS_MIN = 10_000;
/** Before a step was measured: the partner may still be loading its model. */
const FIRST_LATE_MS_MIN = 60_000;
/** The coordinator answers "pair-broken" within its own lease times; this is far beyond. */
const COORDINATOR_MS_MAX = 60_000;
/** Steps that the rolling median looks back on. */
const MEDIAN_WINDOW = 8;

/** @param digest of the initial latents */
export function startDenoise(
  plan: DenoisePlan,
  epoch: number,
  digest: string,
  nowMs: number,
): Step {
  return advance({
    kind: "denoising",
    plan,
    epoch,
    step: 0,
    digest,
    doing: { kind: "nothing" },
    have: { uncond: false, cond: false },
    partnership:
      plan.ownHalf === null
        ? { kind: "none" }
        : { kind: "together", aheadDigest: null, lostReason: null },
    startMs: nowMs,
    stepStartMs: nowMs,
    halfMs: 0,
    stepsMs: [],
  });
}

/** Pure. What comes too late for the state it meets changes nothing. */
export function reduceDenoise(state: DenoiseState, event: DenoiseEvent): Step {
  switch (event.kind) {
    case "half-done":
      return state.kind === "denoising" ? takeHalf(state, event.half, event.nowMs) : [state, []];
    case "applied":
      return state.kind === "denoising" ? takeStep(state, event.digest, event.nowMs) : [state, []];
    case "stored":
      return state.kind === "storing" ? finish(state, event.blob, event.nowMs) : [state, []];
    case "frame":
      return state.kind === "denoising"
        ? takeFrame(state, event.frame)
        : [state, [drop("not-paired")]];
    case "lost":
      return state.kind === "denoising" ? losePartner(state, event.reason) : [state, []];
    case "deadline":
      return state.kind === "denoising" ? passDeadline(state) : [state, []];
    case "continue-alone":
      return event.newEpoch > state.epoch ? continueAlone(state, event.newEpoch) : [state, []];
    case "cancel":
      return state.kind === "ended" ? [state, []] : end(state, null);
    case "fault":
      return state.kind === "ended" ? [state, []] : fail(state, event.code, event.detail);
    default:
      return assertNever(event);
  }
}

/** Median duration of the steps in seconds; 0 before the first. */
function secondsPerStep(stepsMs: readonly number[]): number {
  return median(stepsMs) / 1_000;
}

/** Starts whatever can be done now; nothing while something is being done. */
function advance(state: Denoising): Step {
  if (state.doing.kind !== "nothing" || state.partnership.kind === "broken") return [state, []];
  const { plan, step, have, partnership } = state;
  const missing = halvesOf(plan).filter((half) => !have[half]);
  if (missing.length === 0) {
    return [{ ...state, doing: { kind: "apply" } }, [{ kind: "apply", step }]];
  }
  if (partnership.kind === "none") return runHalf(state, missing[0]!);
  if (partnership.lostReason !== null && missing.includes(partnerHalf(plan))) {
    return breakPair(state, partnership.lostReason);
  }
  if (missing.includes(plan.ownHalf!)) return runHalf(state, plan.ownHalf!);
  return [state, [{ kind: "set-deadline", ms: partnerDeadlineMs(state) }]];
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
  return [next, [{ kind: "send-half", step, half, epoch, latentsDigest: digest }, ...effects]];
}

function takeStep(state: Denoising, digest: string, nowMs: number): Step {
  if (state.doing.kind !== "apply") return [state, []];
  const { plan, epoch, partnership } = state;
  const step = state.step + 1;
  const stepsMs = [...state.stepsMs, nowMs - state.stepStartMs];
  const progress: DenoiseEffect = {
    kind: "report",
    epoch,
    report: { kind: "progress", stepsDone: step, secondsPerStep: secondsPerStep(stepsMs) },
  };
  if (step === plan.stepCount) {
    const storing: Storing = { kind: "storing", epoch, startMs: state.startMs, stepsMs };
    return [storing, [progress, ...leavePair(state), { kind: "store", epoch }]];
  }
  const next: Denoising = {
    ...state,
    step,
    digest,
    doing: { kind: "nothing" },
    have: { uncond: false, cond: false },
    stepStartMs: nowMs,
    stepsMs,
  };
  if (partnership.kind !== "together" || partnership.aheadDigest === null) {
    return after([progress], advance(next));
  }
  if (partnership.aheadDigest !== digest) return after([progress], diverge(next));
  const have = { ...next.have, [partnerHalf(plan)]: true };
  const together = { ...partnership, aheadDigest: null };
  return after([progress], advance({ ...next, have, partnership: together }));
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

  const keep: DenoiseEffect = { kind: "keep-half", step: frame.step, half: frame.half };
  if (frame.step === step) {
    if (have[frame.half]) return refused("duplicate");
    if (frame.latentsDigest !== state.digest) return diverge(state);
    const isAwaited = partnership.kind === "together" && state.doing.kind === "nothing";
    const stop: DenoiseEffect[] = isAwaited ? [{ kind: "clear-deadline" }] : [];
    const kept = { ...state, have: { ...have, [frame.half]: true } };
    return after([keep, ...stop], advance(kept));
  }
  const isNext = frame.step === step + 1 && frame.step < plan.stepCount;
  if (!isNext || partnership.kind === "broken") return refused("step-beyond");
  if (partnership.aheadDigest !== null) return refused("duplicate");
  const ahead = { ...partnership, aheadDigest: frame.latentsDigest };
  return [{ ...state, partnership: ahead }, [keep]];
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
      const half = partnerHalf(state.plan);
      const ms = partnerDeadlineMs(state);
      return breakPair(state, `no ${half} half of step ${state.step} came within ${ms} ms`);
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

function breakPair(state: Denoising, reason: string): Step {
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
 * Halves at hand stay good: they are of this very step. A result that was reported under the old
 * epoch crossed the order on its way and was stale, so it is reported again.
 */
function continueAlone(state: DenoiseState, newEpoch: number): Step {
  switch (state.kind) {
    case "denoising": {
      const alone: Denoising = { ...state, epoch: newEpoch, partnership: { kind: "none" } };
      return after(leavePair(state), advance(alone));
    }
    case "storing":
      return [{ ...state, epoch: newEpoch }, []];
    case "ended": {
      const { report } = state;
      const again = report ? [{ kind: "report", epoch: newEpoch, report } as const] : [];
      return [{ ...state, epoch: newEpoch }, again];
    }
    default:
      return assertNever(state);
  }
}

function finish(state: Storing, blob: BlobRef, nowMs: number): Step {
  const seconds = (nowMs - state.startMs) / 1_000;
  const perStep = secondsPerStep(state.stepsMs);
  const result = { blob, outputs: [], seconds, secondsPerStep: perStep };
  return end(state, { kind: "finished", result });
}

/** The replicas computed the same steps and hold other bytes: neither can be trusted. */
function diverge(state: Denoising): Step {
  return fail(state, "numerical", `the replicas diverged at step ${state.step}`);
}

function fail(state: Denoising | Storing, code: FarmErrorCode, detail: string): Step {
  return end(state, { kind: "failed", code, detail });
}

function end(state: Denoising | Storing, report: TaskReport | null): Step {
  const { epoch } = state;
  const left = state.kind === "denoising" ? leavePair(state) : [];
  const told: DenoiseEffect[] = report ? [{ kind: "report", epoch, report }] : [];
  return [{ kind: "ended", epoch, report }, [...left, ...told]];
}

function leavePair(state: Denoising): DenoiseEffect[] {
  if (state.partnership.kind === "none") return [];
  return [{ kind: "clear-deadline" }, { kind: "leave-pair" }];
}

function drop(reason: DropReason): DenoiseEffect {
  return { kind: "drop-frame", reason };
}

function after(effects: readonly DenoiseEffect[], [next, more]: Step): Step {
  return [next, [...effects, ...more]];
}

/** In the order in which a replica that is alone computes them. */
function halvesOf(plan: DenoisePlan): readonly GuidanceHalf[] {
  return plan.guided ? ["uncond", "cond"] : ["cond"];
}

function partnerHalf(plan: DenoisePlan): GuidanceHalf {
  return plan.ownHalf === "cond" ? "uncond" : "cond";
}

function partnerDeadlineMs({ stepsMs, halfMs }: Denoising): number {
  if (stepsMs.length === 0) return Math.max(LATE_FACTOR * halfMs, FIRST_LATE_MS_MIN);
  return Math.max(LATE_FACTOR * median(stepsMs.slice(-MEDIAN_WINDOW)), LATE_MS_MIN);
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length % 2 === 1) return sorted[middle]!;
  return sorted.length === 0 ? 0 : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
