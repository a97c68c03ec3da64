/** @file A queue of tasks of which one at a time has the accelerator, or ffmpeg. */

/** Something that was started and cannot be stopped at once. */
export interface Running {
  /** Resolves when nothing is done for it any more. */
  readonly idle: Promise<void>;
  /** Resolves when the next one may start: what is left of it is storing. Not after `idle`. */
  readonly free: Promise<void>;
}

/**
 * The coordinator grants a node's slot again as soon as it has cancelled a task, but a run in
 * progress cannot be stopped: the next task waits for its end here.
 */
export class Lane<T> {
  readonly #start: (task: T) => Running;
  readonly #waitingMax: number;
  readonly #waiting: T[] = [];
  /** Not idle yet; the last of them may not be free. */
  readonly #started = new Set<Running>();
  #isTaken = false;

  /** @param waitingMax tasks that wait beside the one that runs */
  constructor(start: (task: T) => Running, waitingMax: number) {
    this.#start = start;
    this.#waitingMax = waitingMax;
  }

  /** @returns false when the queue is full */
  add(task: T): boolean {
    if (this.#waiting.length >= this.#waitingMax) return false;
    this.#waiting.push(task);
    this.#next();
    return true;
  }

  /** The first waiting task for which the test holds. */
  findWaiting(test: (task: T) => boolean): T | undefined {
    return this.#waiting.find(test);
  }

  /** Takes out waiting tasks for which the test holds; returns them in their order. */
  removeWaiting(test: (task: T) => boolean): T[] {
    const removed = this.#waiting.filter(test);
    for (const task of removed) this.#waiting.splice(this.#waiting.indexOf(task), 1);
    return removed;
  }

  /** Puts a task in the place of a waiting one. */
  replaceWaiting(old: T, task: T): void {
    this.#waiting[this.#waiting.indexOf(old)] = task;
  }

  /** Resolves when nothing runs and nothing waits. */
  async idle(): Promise<void> {
    for (let [first] = this.#started; first; [first] = this.#started) await first.idle;
  }

  #next(): void {
    if (this.#isTaken) return;
    const task = this.#waiting.shift();
    if (task === undefined) return;
    const running = this.#start(task);
    this.#isTaken = true;
    this.#started.add(running);
    void running.idle.then(() => this.#started.delete(running));
    void running.free.then(() => {
      this.#isTaken = false;
      this.#next();
    });
  }
}
