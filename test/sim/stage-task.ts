/** @file A condition, decode or mux task on a node, with digests as files. Mirrors `agent/stage-task.ts` and the stages. */

import { chunkKey, clipPlace, conditioningKey, outputKey } from "../../gpu-node/stages/keys.js";
import type { FarmError } from "../../shared/core/errors.js";
import type { Output, TaskAssignment, TaskResult, Work } from "../../shared/farm/work.js";
import type { BlobRef } from "../../shared/ports/blob-store.js";
import { chunkOf, conditioningOf, filesOf } from "./reference.js";
import type { RunningTask, TaskEnds, TaskParts } from "./task-parts.js";

type StageWork = Exclude<Work, { stage: "denoise" }>;
type Made = Pick<TaskResult, "blob" | "outputs">;

export class SimStage implements RunningTask {
  readonly epoch: number;
  readonly #assignment: TaskAssignment;
  readonly #parts: TaskParts;
  readonly #ends: TaskEnds;
  readonly #startMs: number;
  #aborted = false;
  #isIdle = false;

  constructor(assignment: TaskAssignment, work: StageWork, parts: TaskParts, ends: TaskEnds) {
    this.epoch = assignment.epoch;
    this.#assignment = assignment;
    this.#parts = parts;
    this.#ends = ends;
    this.#startMs = parts.world.timeline.nowMs();
    this.#start(work);
  }

  get isIdle(): boolean {
    return this.#isIdle;
  }

  cancel(): void {
    this.#aborted = true;
  }

  giveBack(): void {
    if (!this.#aborted) this.#parts.report(this.epoch, { kind: "yielded", checkpoint: null });
    this.cancel();
  }

  #start(work: StageWork): void {
    const place = clipPlace(this.#assignment);
    switch (work.stage) {
      case "condition":
        this.#read([work.image], ([image]) => {
          const key = conditioningKey(place);
          this.#compute(() => this.#write(key, conditioningOf(image!, work.noise)));
        });
        return;
      case "decode": {
        const { firstFrame, frameCount } = work;
        this.#read([work.latents], ([latents]) => {
          const key = chunkKey(place, firstFrame);
          this.#compute(() => this.#write(key, chunkOf(latents!, firstFrame, frameCount)));
        });
        return;
      }
      case "mux":
        this.#read(work.chunks, (chunks) => {
          const files = filesOf(chunks, work.formats).map(([name, format, content]) => ({
            name,
            format,
            content,
            key: outputKey(place, name),
          }));
          this.#parts.host.process.after(20, () => this.#writeFiles(files, []));
        });
    }
  }

  #read(refs: readonly BlobRef[], then: (contents: string[]) => void, read: string[] = []): void {
    const ref = refs[read.length];
    if (!ref) {
      then(read);
      return;
    }
    this.#parts.get(ref, (error, content) => {
      if (!this.#goesOn(error)) return;
      this.#read(refs, then, [...read, content!]);
    });
  }

  #compute(then: () => void): void {
    this.#parts.run((error) => {
      if (this.#goesOn(error)) then();
    });
  }

  #write(key: string, content: string): void {
    this.#parts.report(this.epoch, { kind: "ending" });
    this.#ends.free();
    this.#parts.put(key, content, (error, blob) => {
      if (this.#goesOn(error)) this.#finish({ blob: blob!, outputs: [] });
    });
  }

  #writeFiles(
    files: readonly { name: string; format: Output["format"]; content: string; key: string }[],
    outputs: readonly Output[],
  ): void {
    const file = files[outputs.length];
    if (!file) {
      this.#finish({ blob: null, outputs });
      return;
    }
    this.#parts.put(file.key, file.content, (error, blob) => {
      if (!this.#goesOn(error)) return;
      const output = { format: file.format, fileName: file.name, blob: blob! };
      this.#writeFiles(files, [...outputs, output]);
    });
  }

  /** Between any two parts of the work; false when the task is over. */
  #goesOn(error: FarmError | null): boolean {
    if (error === null && !this.#aborted) return true;
    if (error && !this.#aborted) {
      const { code, detail, blobKey } = error;
      const failed = { kind: "failed", code, detail, blobKey: blobKey ?? undefined } as const;
      this.#parts.report(this.epoch, failed);
    }
    this.#settle();
    return false;
  }

  #finish(made: Made): void {
    const seconds = (this.#parts.world.timeline.nowMs() - this.#startMs) / 1_000;
    const result = { ...made, seconds, secondsPerStep: 0 };
    if (!this.#aborted) this.#parts.report(this.epoch, { kind: "finished", result });
    this.#settle();
  }

  #settle(): void {
    this.#isIdle = true;
    this.#ends.free();
    this.#ends.idle();
  }
}
