/** @file One side of the comparison: a child process that answers a line of JSON with one. */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface, type Interface } from "node:readline";
import { fileURLToPath } from "node:url";
import { root } from "../subjects.js";
import type { Answer, Request } from "./protocol.js";

export type SideName = "ours" | "diffusers";

export class Side {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #reader: Interface;
  #ended = "";

  constructor(name: SideName, python: string) {
    const command =
      name === "ours"
        ? [process.execPath, fileURLToPath(new URL("./ours.js", import.meta.url))]
        : [python, `${root}/bench/diffusers/theirs.py`];
    const env = { ...process.env, HF_HUB_OFFLINE: "1", TOKENIZERS_PARALLELISM: "false" };
    this.#child = spawn(command[0]!, command.slice(1), { stdio: ["pipe", "pipe", "pipe"], env });
    let errors = "";
    this.#child.stderr!.on("data", (piece: Buffer) => {
      errors = (errors + piece.toString()).slice(-4_000);
      this.#ended = errors;
    });
    this.#reader = createInterface({ input: this.#child.stdout! });
    this.#lines = this.#reader[Symbol.asyncIterator]();
  }

  async ask(request: Request): Promise<Answer> {
    this.#child.stdin!.write(`${JSON.stringify(request)}\n`);
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`a side ended before it answered "${request.op}": ${this.#ended}`);
    return JSON.parse(value) as Answer;
  }

  async number(
    request: Request,
    key: "seconds" | "steps_seconds" | "bytes" | "operations" = "seconds",
  ): Promise<number> {
    return Number((await this.ask(request))[key]);
  }

  /** Ends the process; resolves when it is gone. */
  close(): Promise<void> {
    const gone = new Promise<void>((resolve) => this.#child.once("exit", () => resolve()));
    this.#reader.close();
    this.#child.stdin!.end();
    return gone;
  }
}
