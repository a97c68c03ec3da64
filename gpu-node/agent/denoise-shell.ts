/**
 * @file Carries out one denoise task: the tensors, runs, frames and timers that its machine names.
 *
 * Everything that happens becomes an event of the machine, in a queue, one after the other; only
 * the machine decides what it means.
 */
import { assert, assertNever } from "../../shared/core/assert.js";
import { asFarmError } from "../../shared/core/errors.js";
import { isGuided } from "../../shared/farm/parameters.js";
import type { DenoiseWork, GuidanceHalf, TaskAssignment } from "../../shared/farm/work.js";
import type { CancelTimer } from "../../shared/ports/clock.js";
import type { BusChannel, FrameHeader } from "../../shared/ports/tensor-bus.js";
import { elementCount, type Tensor } from "../../shared/tensor/tensor.js";
import { HalfComputer } from "../stages/compute-half.js";
import {
  createReplica,
  type DenoiseReplica,
  latentsDigestInTurns,
} from "../stages/denoise-maths.js";
import { clipPlace, latentsKey, stepKey } from "../stages/keys.js";
import {
  decodeConditioning,
  decodeStepLatents,
  encodeLatents,
  encodeStepLatents,
} from "../stages/tensor-blobs.js";
import { reduceDenoise, startDenoise } from "./denoise-machine.js";
import type { DenoiseParts, Frame } from "./denoise-parts.js";
import type { DenoiseEffect, DenoiseEvent, DenoiseState } from "./denoise-state.js";
import { type EndingEvent, isEnding, lastWordsOn } from "./denoise-unstarted.js";
import { decodeHalf, encodeFrame, NO_HALF, type SentFrame } from "./half-payload.js";
import { Latch } from "./latch.js";
import { patiently } from "./patience.js";
import { type Previews, previewsOf } from "./previews.js";
import { sha256 } from "./sha256.js";

export class DenoiseShell {
  readonly #assignment: TaskAssignment;
  readonly #work: DenoiseWork;
  readonly #parts: DenoiseParts;
  /** What happened and was not taken in yet; frames come with their payload. */
  readonly #queue: { readonly event: DenoiseEvent; readonly frame: Frame | null }[] = [];
  /** Halves by "<half> <step>". */
  readonly #halves = new Map<string, Tensor>();
  readonly #computer: HalfComputer;
  readonly #idle = new Latch();
  readonly #free = new Latch();
  #epoch: number;
  readonly #over = new AbortController();
  #replica: DenoiseReplica | null = null;
  /** Null until the conditioning is read; what happens until then waits in the queue. */
  #state: DenoiseState | null = null;
  #previews: Previews | null = null;
  #framePlanHash = "";
  #channel: BusChannel | null = null;
  #clearDeadline: CancelTimer = () => {};
  #draining = false;
  /** The own half of the next step, begun before the machine asked for it. */
  #begun: { step: number; answer: Promise<Tensor>; startMs: number } | null = null;
  /** When the step in hand began, and when its own half was there. */
  #stepMs = 0;
  #ownHalfMs = 0;
  /** Runs, reads and writes under way. */
  #underWay = 0;

  /** Starts at once. */
  constructor(assignment: TaskAssignment, work: DenoiseWork, parts: DenoiseParts) {
    this.#assignment = assignment;
    this.#work = work;
    this.#parts = parts;
    this.#computer = new HalfComputer(parts.runtime);
    this.#epoch = assignment.epoch;
    this.#joinPair();
    this.#carry(this.#load());
  }

  /**
   * Resolves when the task is over and nothing is computed for it any more: a run cannot be
   * stopped, so after a cancel this is up to a run later.
   */
  get idle(): Promise<void> {
    return this.#idle.opened;
  }

  /** Resolves when nothing is computed for it any more; its latents may still go to the store. */
  get free(): Promise<void> {
    return this.#free.opened;
  }

  /** Fencing number of the grant as it is now. */
  get epoch(): number {
    return this.#epoch;
  }

  /** The coordinator chose this replica to go on; a result that is reported already comes again. */
  continueAlone(newEpoch: number): void {
    this.#epoch = Math.max(this.#epoch, newEpoch);
    this.#feed({ kind: "continue-alone", newEpoch });
  }

  /** Gives the task back after the step in hand; one whose steps are all made ends as usual. */
  yield(): void {
    this.#feed({ kind: "yield", atOnce: false });
  }

  /** As `yield`, but without the step in hand. */
  giveBack(): void {
    this.#feed({ kind: "yield", atOnce: true });
  }

  /** Ends the task without a report. */
  cancel(): void {
    this.#feed({ kind: "cancel" });
  }

  #joinPair(): void {
    const { pair } = this.#work;
    if (!pair) return;
    const { taskId, epoch } = this.#assignment;
    this.#channel = this.#parts.bus.join(`${taskId}.${epoch}`, pair.partner, {
      onFrame: (header, payload) =>
        this.#feed({ kind: "frame", frame: header }, { header, payload }),
      onLost: (reason) => this.#feed({ kind: "lost", reason }),
    });
  }

  async #load(): Promise<void> {
    const { blobs, clock, configs, dtype, planHash } = this.#parts;
    const { conditioning, parameters, pair, resume } = this.#work;
    const read = () =>
      Promise.all([blobs.get(conditioning), resume ? blobs.get(resume.blob) : null]);
    const [begin, middle] = await this.#patiently(read);
    if (this.#state !== null) return; // ended meanwhile
    const from = resume && middle ? decodeStepLatents(middle, resume.step) : undefined;
    const conditioned = decodeConditioning(begin);
    const replica = createReplica(conditioned, parameters, configs.scheduler, from, dtype);
    this.#replica = replica;
    this.#previews = previewsOf(this.#work, conditioned, this.#parts.onPreview);
    this.#framePlanHash = sha256(JSON.stringify([planHash, parameters, replica.table]));
    const plan = {
      stepCount: replica.stepCount,
      guided: isGuided(parameters),
      planHash: this.#framePlanHash,
      ownHalf: pair?.half ?? null,
      resume,
    };
    const { epoch } = this.#assignment;
    this.#stepMs = clock.nowMs();
    const digest = pair ? replica.digest() : null;
    const [state, effects] = startDenoise(plan, epoch, digest, this.#stepMs);
    this.#state = state;
    for (const effect of effects) this.#carryOut(effect, null);
    this.#drain();
  }

  #feed(event: DenoiseEvent, frame: Frame | null = null): void {
    if (this.#state === null && isEnding(event)) {
      this.#endUnstarted(event);
      return;
    }
    this.#queue.push({ event, frame });
    this.#drain();
  }

  /** There is no machine yet that could end. */
  #endUnstarted(event: EndingEvent): void {
    const epoch = this.#epoch;
    const report = lastWordsOn(event, this.#work);
    this.#state = { kind: "ended", epoch, report };
    if (report) this.#parts.report(epoch, report);
    this.#drain();
  }

  /** Effects add to the queue: an event is taken in only after all effects of the one before. */
  #drain(): void {
    if (this.#draining || this.#state === null) return;
    this.#draining = true;
    try {
      for (let next = this.#queue.shift(); next; next = this.#queue.shift()) {
        const { frame } = next;
        const event: DenoiseEvent = this.#parts.holdsLease() ? next.event : { kind: "cancel" };
        if (frame && !this.#isExpected(frame.header)) continue;
        const [state, effects]: ReturnType<typeof reduceDenoise> = reduceDenoise(
          this.#state,
          event,
        );
        this.#state = state;
        for (const effect of effects) this.#carryOut(effect, frame);
      }
    } finally {
      this.#draining = false;
    }
    if (this.#state.kind === "ended") {
      this.#leavePair();
      this.#halves.clear();
      this.#replica = null;
      this.#settleIdle();
    }
  }

  /** What the machine cannot judge: whose latents these are, and of which shape. */
  #isExpected({ jobId, clipId, shape, step }: FrameHeader): boolean {
    if (jobId !== this.#assignment.jobId || clipId !== this.#assignment.clipId) {
      this.#parts.onFrameDropped("clip");
      return false;
    }
    const { latents, stepCount } = this.#replica ?? {};
    const isHalf = step !== stepCount;
    if (latents && isHalf && elementCount(shape) !== latents.data.length) {
      this.#parts.onFrameDropped("shape");
      return false;
    }
    return true;
  }

  #carryOut(effect: DenoiseEffect, frame: Frame | null): void {
    const { clock, report, onFrameDropped } = this.#parts;
    switch (effect.kind) {
      case "run-half":
        this.#carry(this.#runHalf(effect.half, effect.step));
        return;
      case "send-half":
        this.#send(effect, this.#half(effect.half, effect.step));
        return;
      case "send-digest":
        this.#send(effect, NO_HALF);
        return;
      case "keep-half":
        assert(frame, "a frame to keep");
        this.#halves.set(`${effect.half} ${effect.step}`, decodeHalf(frame));
        this.#parts.observer?.halfCame(frame.header.traceparent ?? null);
        return;
      case "drop-frame":
        onFrameDropped(effect.reason);
        return;
      case "apply":
        this.#carry(this.#apply(effect.step));
        return;
      case "store":
        this.#carry(this.#store(effect.epoch));
        this.#free.open();
        return;
      case "save":
        void this.#save(effect.step, effect.epoch);
        return;
      case "set-deadline":
        this.#clearDeadline();
        this.#clearDeadline = clock.after(effect.ms, () => this.#feed({ kind: "deadline" }));
        return;
      case "clear-deadline":
        this.#clearDeadline();
        return;
      case "leave-pair":
        this.#leavePair();
        return;
      case "report":
        report(effect.epoch, effect.report);
        return;
      default:
        assertNever(effect);
    }
  }

  async #runHalf(half: GuidanceHalf, step: number): Promise<void> {
    const { clock, observer } = this.#parts;
    const isBegun = this.#begun?.step === step && this.#work.pair?.half === half;
    const begun = isBegun ? this.#begun : null;
    this.#begun = null;
    const startMs = begun?.startMs ?? clock.nowMs();
    const answer = await (begun?.answer ?? this.#computer.compute(this.#started(), half));
    if (this.#state?.kind !== "denoising") return;
    this.#halves.set(`${half} ${step}`, answer);
    this.#ownHalfMs = clock.nowMs();
    observer?.halfMade(half, (this.#ownHalfMs - startMs) / 1_000);
    this.#feed({ kind: "half-done", half, nowMs: this.#ownHalfMs });
  }

  /** Whether somebody compares our latents with his. */
  get #isTogether(): boolean {
    return this.#state?.kind === "denoising" && this.#state.partnership.kind === "together";
  }

  /** The runtime works while the new latents are hashed; the machine asks for this half next, or never. */
  #beginOwnHalf(step: number, stepCount: number): void {
    const half = this.#work.pair?.half;
    const isWanted = this.#state?.kind === "denoising" && !this.#state.yieldAsked;
    if (!half || !isWanted || !this.#isTogether || step === stepCount) return;
    const answer = this.#computer.compute(this.#started(), half);
    // Whoever takes it hears of its failure; the runtime is busy until then.
    this.#carry(answer.then(noMatter, noMatter));
    this.#begun = { step, answer, startMs: this.#parts.clock.nowMs() };
  }

  #send(sent: SentFrame, made: Tensor): void {
    const { dtype, traceparent = null } = this.#parts;
    const of = { dtype, planHash: this.#framePlanHash, traceparent };
    const { header, payload } = encodeFrame(this.#assignment, sent, made, of);
    if (sent.kind === "send-half") this.#parts.observer?.halfSent(payload.byteLength);
    this.#channel?.send(header, payload);
  }

  async #apply(step: number): Promise<void> {
    const replica = this.#started();
    const before = replica.latents;
    const startMs = this.#parts.clock.nowMs();
    const isGuidedStep = isGuided(this.#work.parameters);
    replica.apply(isGuidedStep ? this.#half("uncond", step) : null, this.#half("cond", step));
    for (const half of replica.halves) this.#halves.delete(`${half} ${step}`);
    this.#beginOwnHalf(replica.step, replica.stepCount);
    this.#previews?.stepMade(replica, before, this.#epoch);
    const digest = this.#isTogether ? await latentsDigestInTurns(replica.latents) : null;
    if (this.#state?.kind !== "denoising") return;
    const nowMs = this.#parts.clock.nowMs();
    this.#observeStep(startMs, nowMs);
    this.#feed({ kind: "applied", digest, nowMs });
  }

  #observeStep(appliedMs: number, nowMs: number): void {
    const { observer } = this.#parts;
    const isPair = this.#isTogether;
    if (isPair) observer?.waited((appliedMs - this.#ownHalfMs) / 1_000);
    observer?.combined((nowMs - appliedMs) / 1_000);
    observer?.stepMade(isPair ? "pair" : "single", (nowMs - this.#stepMs) / 1_000);
    this.#stepMs = nowMs;
  }

  async #store(epoch: number): Promise<void> {
    const key = latentsKey({ ...clipPlace(this.#assignment), epoch });
    const latents = encodeLatents(this.#started().latents);
    const blob = await this.#patiently(() => this.#parts.blobs.put(key, latents));
    this.#feed({ kind: "stored", blob, nowMs: this.#parts.clock.nowMs() });
  }

  #leavePair(): void {
    this.#channel?.close();
    this.#channel = null;
  }

  /** Never throws, and nobody waits for it: a task may end before its last save does. */
  async #save(step: number, epoch: number): Promise<void> {
    try {
      const { state } = this.#started();
      assert(state.step === step, `the latents after step ${step}, not after ${state.step}`);
      const key = stepKey({ ...clipPlace(this.#assignment), epoch }, step);
      const { clock, observer } = this.#parts;
      const startMs = clock.nowMs();
      const blob = await this.#parts.blobs.put(key, encodeStepLatents(state));
      const nowMs = clock.nowMs();
      observer?.saved((nowMs - startMs) / 1_000);
      this.#feed({ kind: "saved", checkpoint: { step, blob }, nowMs });
    } catch (error) {
      this.#parts.onSaveFailed(asFarmError(error));
      this.#feed({ kind: "save-failed", step });
    }
  }

  /** Watches over something under way: what it throws is a fault of the task. */
  #carry(work: Promise<void>): void {
    this.#underWay += 1;
    void work
      .catch((error: unknown) => this.#fault(error))
      .finally(() => {
        this.#underWay -= 1;
        this.#settleIdle();
      });
  }

  #fault(error: unknown): void {
    const { code, detail, blobKey } = asFarmError(error);
    this.#feed({ kind: "fault", code, detail, blobKey: blobKey ?? undefined });
  }

  #settleIdle(): void {
    if (this.#state?.kind !== "ended") return;
    this.#over.abort();
    if (this.#underWay > 0) return;
    this.#free.open();
    this.#idle.open();
  }

  /** Waits for a store that is away, until the task is over. */
  #patiently<T>(work: () => Promise<T>): Promise<T> {
    const { clock, onStoreAway: onAway } = this.#parts;
    return patiently(work, { clock, signal: this.#over.signal, random: Math.random, onAway });
  }

  #started(): DenoiseReplica {
    assert(this.#replica, "a replica while the task runs");
    return this.#replica;
  }

  #half(half: GuidanceHalf, step: number): Tensor {
    const found = this.#halves.get(`${half} ${step}`);
    assert(found, `the ${half} half of step ${step}`);
    return found;
  }
}

function noMatter(): void {}
