/** @file One runtime child as a process: its start, its stream of frames, its end. */
import { spawn } from "node:child_process";
import type { Duplex } from "node:stream";
import { fileURLToPath } from "node:url";
import type { Tensor } from "../../shared/tensor/tensor.js";
import { type FromChild, STREAM_FD, type ToChild } from "./child-protocol.js";
import { createFrameReader, type Tensors, writeFrame } from "./frame-stream.js";

export interface RuntimeProcess {
  /** Undefined when it could not even be started. */
  readonly pid: number | undefined;
  /**
   * What cannot be sent any more is dropped: the process is about to end then.
   *
   * @param tensors must not change before the answer
   */
  send(message: ToChild, tensors?: Tensors): void;
  /** Asks it to leave; it does so when the run that it is in is done. */
  dismiss(): void;
  /** SIGKILL. */
  kill(): void;
  /** Resolves with how it ended, in words, when it is gone and everything it said is read. */
  readonly ended: Promise<string>;
}

/** What is kept of its stderr for the words about its end. */
const STDERR_CHARACTERS_KEPT = 8_000;
const STDERR_LINES_KEPT = 6;
/** A line of a stack that V8 prints when it ends the process: why it does comes before them. */
const NATIVE_FRAME = /^\s*\d+: 0x[0-9a-f]+ /;

/** The file that the process runs: compiled JavaScript, also for a caller that runs from source. */
export function runtimeChildPath(): string {
  const isCompiled = import.meta.url.endsWith(".js");
  const path = isCompiled ? "./runtime-child.js" : "../../dist/gpu-node/runtime/runtime-child.js";
  return fileURLToPath(new URL(path, import.meta.url));
}

/** @param onFrame called for each message, never after `ended` */
export function startRuntimeProcess(
  onFrame: (message: FromChild, tensors: Record<string, Tensor>) => void,
): RuntimeProcess {
  const child = spawn(process.execPath, [runtimeChildPath()], {
    stdio: ["ignore", "ignore", "pipe", "pipe"],
  });
  const stream = child.stdio[STREAM_FD] as Duplex;
  stream.on("error", () => {}); // how the process ended says more than a broken pipe
  stream.on(
    "data",
    createFrameReader((message, tensors) => onFrame(message as FromChild, tensors)),
  );
  let words = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    words = (words + text).slice(-STDERR_CHARACTERS_KEPT);
  });

  const gone = new Promise<string>((resolve) => {
    child.once("exit", (code, signal) => {
      resolve(signal === null ? `exit code ${code}` : `signal ${signal}`);
    });
    child.on("error", (error) => {
      if (child.pid === undefined) resolve(error.message);
    });
  });
  const read = [stream, child.stderr!].map(
    (pipe) => new Promise<void>((resolve) => pipe.once("close", () => resolve())),
  );
  return {
    pid: child.pid,
    send: (message, tensors = {}) => void writeFrame(stream, message, tensors),
    dismiss: () => stream.end(),
    kill: () => child.kill("SIGKILL"),
    ended: Promise.all([gone, ...read]).then(([how]) => `${how}${quoted(words)}`),
  };
}

function quoted(words: string): string {
  const said = words.split(/\r?\n/).filter((l) => l.trim() !== "" && !NATIVE_FRAME.test(l));
  const lines = said.slice(-STDERR_LINES_KEPT);
  return lines.length === 0 ? "" : `; its last words: ${lines.join(" | ")}`;
}
