/** @file One denoise task on a node: the production machine, with digests as tensors. Mirrors `agent/denoise-shell.ts`. */

import type {
  DenoiseEffect,
  DenoiseEvent,
  DenoiseState,
} from "../../gpu-node/agent/denoise-state.js";
import { clipPlace, latentsKey, stepKey } from "../../gpu-node/stages/keys.js";
import { assert } from "../../shared/core/assert.js";
import { FarmError } from "../../shared/core/errors.js";
import { isGuided, stepCount } from "../../shared/farm/parameters.js";
import type { DenoiseWork, GuidanceHalf, TaskAssignment } from "../../shared/farm/work.js";
import type { Frame, Half } from "./bus.js";
import type { Core } from "./core.js";
import { digest } from "./digest.js";
import { firstLatents, halfOf, stepped } from "./reference.js";
import type { RunningTask, TaskEnds, TaskParts } from "./task-parts.js";

export class SimDenoise implements RunningTask {
  readonly #assignment: TaskAssignment;
  readonly #work: DenoiseWork;
  readonly #parts: TaskParts;
  readonly #queue: { readonly event: DenoiseEvent; readonly frame: Frame | null }[] = [];
  readonly #halves = new Map<string, Half>();
  readonly #ends: TaskEnds;
  #epoch: number;
  #latents = "";
  /** Steps made, as the replica counts them; the machine has its own count. */
  #made = 0;
  #planHash = "";
  #state: DenoiseState | null = null;
  #channel: { send(frame: Frame): void; close(): void } | null = null;
  #clearDeadline: () => void = () => {};
  #draining = false;
  #underWay = 0;
  #isIdle = false;
  /** The update of this step went wrong, and nobody but the partner can see it. */
  #wrongSince: number | null = null;

  constructor(assignment: TaskAssignment, work: DenoiseWork, parts: TaskParts, ends: TaskEnds) {
    this.#assignment = assignment;
    this.#work = work;
    this.#parts = parts;
    this.#epoch = assignment.epoch;
    this.#ends = ends;
    this.#joinPair();
    this.#load();
  }

  get epoch(): number {
    return this.#epoch;
  }

  get isIdle(): boolean {
    return this.#isIdle;
  }

  continueAlone(newEpoch: number): void {
    // Nobody will compare them any more.
    if (this.#wrongSince !== null) this.#parts.world.oracle.excuse(this.#assignment.taskId);
    this.#epoch = Math.max(this.#epoch, newEpoch);
    this.#feed({ kind: "continue-alone", newEpoch });
  }

  yield(): void {
    this.#feed({ kind: "yield", atOnce: false });
  }

  giveBack(): void {
    this.#feed({ kind: "yield", atOnce: true });
  }

  cancel(): void {
    this.#feed({ kind: "cancel" });
  }

  /** A frame that comes outside of the order of its channel. */
  takeReplayed(frame: Frame): void {
    if (this.#state?.kind === "denoising") {
      this.#feed({ kind: "frame", frame: frame.facts }, frame);
    }
  }

  #joinPair(): void {
    const { pair } = this.#work;
    if (!pair) return;
    const { taskId, epoch } = this.#assignment;
    const { world, host } = this.#parts;
    this.#channel = world.bus.join(host, `${taskId}.${epoch}`, pair.partner, {
      onFrame: (frame) => this.#feed({ kind: "frame", frame: frame.facts }, frame),
      onLost: (reason) => this.#feed({ kind: "lost", reason }),
    });
  }

  #load(): void {
    const { world, planHash } = this.#parts;
    const { conditioning, parameters, resume } = this.#work;
    let waiting = resume ? 2 : 1;
    let begin = "";
    let middle = "";
    const arrived = (error: FarmError | null) => {
      if (error) {
        if (this.#state === null) this.#fault(error);
        return;
      }
      waiting -= 1;
      if (waiting > 0 || this.#state !== null) return;
      this.#latents = resume ? middle : firstLatents(begin);
      this.#made = resume?.step ?? 0;
      if (resume) world.oracle.onResumed(this.#assignment.taskId, middle);
      this.#planHash = digest(planHash, JSON.stringify(parameters));
      const plan = {
        stepCount: stepCount(parameters),
        guided: isGuided(parameters),
        planHash: this.#planHash,
        ownHalf: this.#work.pair?.half ?? null,
        resume,
      };
      const { epoch } = this.#assignment;
      const nowMs = world.timeline.nowMs();
      const [state, effects] = world.core.startDenoise(plan, epoch, this.#latents, nowMs);
      this.#state = state;
      for (const effect of effects) this.#carryOut(effect, null);
      this.#drain();
    };
    this.#parts.get(
      conditioning,
      this.#carried((error, content) => {
        begin = content ?? "";
        arrived(error);
      }),
    );
    if (!resume) return;
    this.#parts.get(
      resume.blob,
      this.#carried((error, content) => {
        middle = content ?? "";
        arrived(error);
      }),
    );
  }

  #feed(event: DenoiseEvent, frame: Frame | null = null): void {
    if (
      this.#state === null &&
      (event.kind === "cancel" || event.kind === "fault" || event.kind === "yield")
    ) {
      this.#endUnstarted(event);
      return;
    }
    this.#queue.push({ event, frame });
    this.#drain();
  }

  #endUnstarted(event: Extract<DenoiseEvent, { kind: "cancel" | "fault" | "yield" }>): void {
    const epoch = this.#epoch;
    const report =
      event.kind === "cancel"
        ? null
        : event.kind === "fault"
          ? ({ ...event, kind: "failed" } as const)
          : ({ kind: "yielded", checkpoint: this.#work.resume } as const);
    this.#state = { kind: "ended", epoch, report };
    if (report) this.#parts.report(epoch, report);
    this.#drain();
  }

  #drain(): void {
    if (this.#draining || this.#state === null) return;
    this.#draining = true;
    for (let next = this.#queue.shift(); next; next = this.#queue.shift()) {
      const event: DenoiseEvent = this.#parts.holdsLease() ? next.event : { kind: "cancel" };
      const [state, effects] = this.#reduce(event);
      this.#state = state;
      for (const effect of effects) this.#carryOut(effect, next.frame);
    }
    this.#draining = false;
    if (this.#state.kind === "ended") {
      this.#leavePair();
      this.#halves.clear();
      this.#settleIdle();
    }
  }

  #reduce(event: DenoiseEvent): ReturnType<Core["reduceDenoise"]> {
    return this.#parts.world.core.reduceDenoise(this.#state!, event);
  }

  #carryOut(effect: DenoiseEffect, frame: Frame | null): void {
    switch (effect.kind) {
      case "run-half":
        this.#runHalf(effect.half, effect.step);
        return;
      case "send-half": {
        const { step, half, epoch, latentsDigest } = effect;
        const payload = { ...this.#half(half, step), epoch };
        const facts = { step, half, epoch, latentsDigest, planHash: this.#planHash };
        this.#channel?.send({ facts, payload });
        return;
      }
      case "send-digest": {
        const { step, half, epoch, latentsDigest } = effect;
        const { taskId } = this.#assignment;
        const payload = { content: "", taskId, epoch, step, latents: latentsDigest };
        const facts = { step, half, epoch, latentsDigest, planHash: this.#planHash };
        this.#channel?.send({ facts, payload });
        return;
      }
      case "keep-half":
        assert(frame, "a frame to keep");
        this.#halves.set(`${effect.half} ${effect.step}`, frame.payload);
        return;
      case "drop-frame":
        this.#parts.world.oracle.dropped(effect.reason);
        return;
      case "apply":
        this.#apply(effect.step);
        return;
      case "store":
        this.#store(effect.epoch);
        this.#ends.free();
        return;
      case "save":
        this.#save(effect.step, effect.epoch);
        return;
      case "set-deadline":
        this.#clearDeadline();
        this.#clearDeadline = this.#parts.host.process.after(effect.ms, () =>
          this.#feed({ kind: "deadline" }),
        );
        return;
      case "clear-deadline":
        this.#clearDeadline();
        return;
      case "leave-pair":
        this.#leavePair();
        return;
      case "report":
        this.#parts.report(effect.epoch, effect.report);
    }
  }

  #runHalf(half: GuidanceHalf, step: number): void {
    const { taskId } = this.#assignment;
    const made: Half = {
      content: halfOf(half, this.#made, this.#latents),
      taskId,
      epoch: this.#epoch,
      step: this.#made,
      latents: this.#latents,
    };
    this.#parts.run(
      this.#carried((error) => {
        if (error) {
          this.#fault(error);
          return;
        }
        if (this.#state?.kind !== "denoising") return;
        this.#halves.set(`${half} ${step}`, made);
        this.#feed({ kind: "half-done", half, nowMs: this.#parts.world.timeline.nowMs() });
      }),
    );
  }

  #apply(step: number): void {
    const { world, host, takeFault } = this.#parts;
    const guided = isGuided(this.#work.parameters);
    const uncond = guided ? this.#half("uncond", step) : null;
    const cond = this.#half("cond", step);
    const { taskId, epoch } = this.#assignment;
    const place = {
      taskId,
      since: epoch,
      epoch: this.#epoch,
      step: this.#made,
      latents: this.#latents,
    };
    world.oracle.onApply(host.nodeId, place, step, uncond ? [uncond, cond] : [cond]);
    if (takeFault("nan")) {
      this.#fault(new FarmError("numerical", `NaN at step ${step}`));
      return;
    }
    this.#latents = stepped(this.#latents, uncond?.content ?? null, cond.content);
    this.#made += 1;
    if (this.#channel && (takeFault("wrong-bytes") || this.#isWrongAtLast())) {
      this.#latents = digest("wrong", host.nodeId, this.#latents);
      this.#wrongSince = this.#made;
      world.oracle.onWrongBytes(this.#latents);
    }
    for (const half of ["uncond", "cond"]) this.#halves.delete(`${half} ${step}`);
    this.#feed({ kind: "applied", digest: this.#latents, nowMs: world.timeline.nowMs() });
  }

  #isWrongAtLast(): boolean {
    const isLast = this.#made === stepCount(this.#work.parameters);
    const isWrong = isLast && this.#parts.takeFault("wrong-last-bytes");
    if (isWrong) this.#parts.world.oracle.count("wrong bytes at the last step");
    return isWrong;
  }

  #store(epoch: number): void {
    const { world } = this.#parts;
    const key = latentsKey({ ...clipPlace(this.#assignment), epoch });
    this.#parts.put(
      key,
      this.#latents,
      this.#carried((error, blob) => {
        if (error) this.#fault(error);
        else this.#feed({ kind: "stored", blob: blob!, nowMs: world.timeline.nowMs() });
      }),
    );
  }

  #save(step: number, epoch: number): void {
    const key = stepKey({ ...clipPlace(this.#assignment), epoch }, step);
    this.#parts.put(key, this.#latents, (error, blob) => {
      const nowMs = this.#parts.world.timeline.nowMs();
      if (error) this.#feed({ kind: "save-failed", step });
      else this.#feed({ kind: "saved", checkpoint: { step, blob: blob! }, nowMs });
    });
  }

  #leavePair(): void {
    this.#channel?.close();
    this.#channel = null;
  }

  /** Counts something under way until it answers. */
  #carried<A extends readonly unknown[]>(answer: (...given: A) => void): (...given: A) => void {
    this.#underWay += 1;
    return (...given) => {
      this.#underWay -= 1;
      answer(...given);
      this.#settleIdle();
    };
  }

  #fault({ code, detail, blobKey }: FarmError): void {
    this.#feed({ kind: "fault", code, detail, blobKey: blobKey ?? undefined });
  }

  #settleIdle(): void {
    if (this.#isIdle || this.#state?.kind !== "ended" || this.#underWay > 0) return;
    this.#isIdle = true;
    this.#ends.free();
    this.#ends.idle();
  }

  #half(half: GuidanceHalf, step: number): Half {
    const found = this.#halves.get(`${half} ${step}`);
    assert(found, `the ${half} half of step ${step}`);
    return found;
  }
}
