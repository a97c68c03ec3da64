/** @file How much a command says on stderr, in which colours, and whether it may read stdin. */
import { type Command, Option } from "commander";
import type { EndedCall } from "../client/call-teller.js";
import { closeStandardInput } from "./standard-input.js";

interface VoiceFlags {
  readonly quiet?: boolean;
  readonly verbose?: boolean;
  readonly color: boolean;
  readonly input: boolean;
}

/** Of this process, which is one command. */
let voice: Pick<VoiceFlags, "quiet" | "verbose"> = {};

/** Flags of every command, before its name or after it; to be called once settings are filled in. */
export function addVoice(program: Command): void {
  program
    .addOption(
      new Option("-q, --quiet", "nothing on stderr but what went wrong").conflicts("verbose"),
    )
    .option("-v, --verbose", "more on stderr: every call, causes, logs of processes started here")
    .option("--no-color", "no colours, as with $NO_COLOR")
    .option("--no-input", "never read stdin: where a file is '-', refuse it")
    .hook("preAction", () => {
      const flags = program.opts<VoiceFlags>();
      voice = flags;
      // What this process starts is asked in the same way.
      if (!flags.color) process.env["NO_COLOR"] = "1";
      if (!flags.input) closeStandardInput();
    });
}

export function isQuiet(): boolean {
  return voice.quiet ?? false;
}

/** Whoever wants both wants quiet: one of them is from a file of settings. */
export function isVerbose(): boolean {
  return !isQuiet() && (voice.verbose ?? false);
}

/** A line for people on stderr. */
export function note(line: string): void {
  if (!isQuiet()) process.stderr.write(`${line}\n`);
}

/** What a client hears of its calls; null where nobody wants to know. */
export function callNotes(): ((call: EndedCall) => void) | null {
  if (!isVerbose()) return null;
  return ({ method, status, seconds }) => note(`${method}: ${status}, ${seconds.toFixed(3)} s`);
}
