/** @file What the farm adds to a step: whole runs of the command line, one thread a node. */
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Subject } from "./subjects.js";
import { root } from "./subjects.js";

/** Enough steps for a median that one slow step does not move. */
const STEPS = 15;

export interface FarmFigures {
  /** Median seconds of a step on one node: two halves. */
  readonly singleStep: number;
  /** Median seconds of a step on two nodes: a half each, and the exchange. */
  readonly pairStep: number;
  /** Both plans wrote the same bytes. */
  readonly sameBytes: boolean;
}

interface Report {
  readonly clips: readonly {
    readonly seconds_per_step: number;
    readonly outputs: readonly { readonly sha256: string }[];
  }[];
}

export async function measureFarm(subject: Subject): Promise<FarmFigures> {
  const single = await render(subject, ["--nodes", "1", "--pair", "never"]);
  const pair = await render(subject, ["--nodes", "2", "--pair", "always"]);
  return {
    singleStep: single.seconds,
    pairStep: pair.seconds,
    sameBytes: single.sha256 === pair.sha256,
  };
}

async function render(
  subject: Subject,
  plan: readonly string[],
): Promise<{ seconds: number; sha256: string }> {
  const folder = await mkdtemp(join(tmpdir(), "renderfarm-bench-"));
  try {
    const args = [
      ...[join(root, "bin", "renderfarm"), "run", subject.image],
      ...["--checkpoint", subject.checkpoint, "--out", join(folder, "clip.safetensors")],
      ...["--height", String(subject.height), "--width", String(subject.width)],
      ...["--num-frames", String(subject.frames), "--num-inference-steps", String(STEPS)],
      ...["--seed", "1", "--threads", "1", "--json", ...plan],
    ];
    const { stdout } = await promisify(execFile)(process.execPath, args);
    const clip = (JSON.parse(stdout) as Report).clips[0]!;
    return { seconds: clip.seconds_per_step, sha256: clip.outputs[0]!.sha256 };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
