/**
 * @file The audit log: one JSON line for every call that changes something, also a refused one. Only
 * ever appended to; never holds a token or anything of a request but the id of its object.
 */
import { appendFile, open } from "node:fs/promises";
import { systemErrorCode } from "../../shared/adapters/files/durable.js";
import { FarmError } from "../../shared/core/errors.js";
import type { Log } from "../../shared/ports/log.js";

export interface AuditEntry {
  /** "key:<id>", "node:<id>", or "unknown". */
  readonly who: string;
  /** Owner of the key; "" for a node and for nobody. */
  readonly tenant: string;
  /** E.g. "job.cancel". */
  readonly action: string;
  /** Id of the job or node that it is about; "" where there is none. */
  readonly object: string;
  /** Name of the gRPC status, "OK" for what was done. */
  readonly result: string;
  /** Address of the other side. */
  readonly source: string;
  readonly requestId: string;
}

/** Where entries go. */
export interface Audit {
  /** Whether the last entries could be written: where not, nothing may be changed. */
  readonly isBroken: boolean;
  note(entry: AuditEntry): void;
  /** Resolves when all that was noted is written. */
  flush(): Promise<void>;
}

export class AuditFile implements Audit {
  readonly #path: string;
  readonly #wallMs: () => number;
  readonly #log: Log;
  #written: Promise<void> = Promise.resolve();
  #waiting: string[] = [];
  #isBroken = false;

  private constructor(path: string, wallMs: () => number, log: Log) {
    this.#path = path;
    this.#wallMs = wallMs;
    this.#log = log;
  }

  /**
   * @param wallMs milliseconds since 1970
   * @throws FarmError "invalid-argument" when it cannot be written
   */
  static async open(path: string, wallMs: () => number, log: Log): Promise<AuditFile> {
    try {
      await (await open(path, "a", 0o600)).close();
    } catch (error) {
      const detail = `--audit: ${path} cannot be written (${systemErrorCode(error)})`;
      throw new FarmError("invalid-argument", detail, { cause: error });
    }
    return new AuditFile(path, wallMs, log);
  }

  get isBroken(): boolean {
    return this.#isBroken;
  }

  note(entry: AuditEntry): void {
    const time = new Date(this.#wallMs()).toISOString();
    const { requestId, ...rest } = entry;
    this.#waiting.push(`${JSON.stringify({ time, ...rest, request_id: requestId })}\n`);
    if (this.#waiting.length === 1) this.#written = this.#written.then(() => this.#write());
  }

  flush(): Promise<void> {
    return this.#written;
  }

  /** Everything that came since the last write. */
  async #write(): Promise<void> {
    // A write that failed may have left half a line.
    const lines = (this.#isBroken ? "\n" : "") + this.#waiting.join("");
    this.#waiting = [];
    try {
      await appendFile(this.#path, lines, { mode: 0o600 });
      this.#isBroken = false;
    } catch (error) {
      const code = systemErrorCode(error);
      if (!this.#isBroken) this.#log.warn(`the audit log cannot be written (${code})`);
      this.#isBroken = true;
    }
  }
}
