/** @file What happened in a run: a hash of all of it, and the last lines for people. */
import { digest } from "./digest.js";

const KEPT_LINES = 60;

export class Trace {
  /** Every line when the run is to be printed, else the last ones. */
  readonly lines: string[] = [];
  count = 0;
  readonly #keepsAll: boolean;
  readonly #nowMs: () => number;
  #hash = "";
  #block = "";

  constructor(keepsAll: boolean, nowMs: () => number) {
    this.#keepsAll = keepsAll;
    this.#nowMs = nowMs;
  }

  add(text: string): void {
    const line = `${this.#nowMs().toFixed(3)} ${text}`;
    this.count += 1;
    this.#block += `${line}\n`;
    if (this.#block.length > 8_192) this.#settle();
    this.lines.push(line);
    if (!this.#keepsAll && this.lines.length > 4 * KEPT_LINES) {
      this.lines.splice(0, this.lines.length - KEPT_LINES);
    }
  }

  /** Of every line so far. */
  hash(): string {
    this.#settle();
    return this.#hash;
  }

  last(): readonly string[] {
    return this.lines.slice(-KEPT_LINES);
  }

  #settle(): void {
    if (this.#block === "") return;
    this.#hash = digest(this.#hash, this.#block);
    this.#block = "";
  }
}
