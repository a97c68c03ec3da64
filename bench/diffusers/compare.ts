/** @file One checkpoint on both sides, interleaved: what one of them is slowed by, the other is, too. */
import { openCheckpoint } from "../../gpu-node/checkpoint/open-checkpoint.js";
import { median } from "../statistics.js";
import type { Subject } from "../subjects.js";
import { type Answer, type Size, TIMED_OPS } from "./protocol.js";
import { Side, type SideName } from "./side.js";
import { openFarm } from "./whole-clip.js";

export interface DiffusersSubject extends Pick<Subject, "name" | "checkpoint" | "image"> {
  readonly size: Size;
  /** Of the whole clip; enough for the steps to be what counts, as in real use. */
  readonly clipSteps: number;
  /** Largest ratio ours / theirs (of GEMM_SHARE the smallest) that counts as reached. */
  readonly targets: Partial<Record<Figure | typeof GEMM_SHARE, number>>;
}

/** What is compared; seconds, but for memory's bytes. "decode" is a frame's. */
export const FIGURES = [...TIMED_OPS, "cold start", "whole clip", "peak memory"] as const;
export type Figure = (typeof FIGURES)[number];

/**
 * The rate of a half of a step, by counted operations, beside that of a product of matrices in the
 * same engine: operations a second, and the larger the better.
 */
export const GEMM_SHARE = "of GEMM rate";

export interface Comparison {
  readonly figure: Figure | typeof GEMM_SHARE;
  readonly threads: number;
  readonly ours: number;
  readonly theirs: number;
  /** ours / theirs, the median over the rounds of each round's own. */
  readonly ratio: number;
  readonly target: number | null;
}

export interface Versions {
  readonly ours: Answer;
  readonly theirs: Answer;
}

/** Rounds that count; of all but cold starts, after one that does not. */
const ROUNDS = 5;
const SIDES: readonly SideName[] = ["ours", "diffusers"];

interface Pair {
  readonly ours: number;
  readonly theirs: number;
}

/** The size of a subject's clip; the files of its checkpoint say whether they are of the variant. */
export async function sizeOf({ checkpoint, frames, height, width }: Subject): Promise<Size> {
  const { variant } = await openCheckpoint(checkpoint);
  return { frames, decodeFrames: frames, height, width, fp16: variant === "fp16" };
}

/** Seconds of every operation, and the memory it took. */
export async function compareOperations(
  subject: DiffusersSubject,
  python: string,
  threads: number,
): Promise<Comparison[]> {
  const sides = SIDES.map((name) => new Side(name, python));
  const ours = sides[0]!;
  const both = async (ask: (side: Side) => Promise<number>): Promise<Pair> => ({
    ours: await ask(ours),
    theirs: await ask(sides[1]!),
  });
  try {
    const { checkpoint, size } = subject;
    for (const side of sides) await side.ask({ op: "open", checkpoint, threads, ...size });
    const found: Comparison[] = [];
    for (const op of TIMED_OPS) {
      // A clip is decoded by the chunk; what is told is a frame's share.
      const parts = op === "decode" ? size.decodeFrames : 1;
      const seconds = async (side: Side) => (await side.number({ op })) / parts;
      await both(seconds);
      const rounds: Pair[] = [];
      for (let i = 0; i < ROUNDS; i++) rounds.push(await both(seconds));
      found.push(compared(subject, op, threads, rounds));
    }
    found.push(await gemmShare(subject, ours, threads));
    const memory = await both((side) => side.number({ op: "memory" }, "bytes"));
    return [...found, compared(subject, "peak memory", threads, [memory])];
  } finally {
    for (const side of sides) await side.close();
  }
}

/** How near to a product of matrices a half of a step comes; the two take turns. */
async function gemmShare(
  { targets }: DiffusersSubject,
  ours: Side,
  threads: number,
): Promise<Comparison> {
  const operations = await ours.number({ op: "unet_operations" }, "operations");
  await ours.ask({ op: "gemm" });
  const rounds: Pair[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    const gemm = await ours.ask({ op: "gemm" });
    rounds.push({
      ours: operations / (await ours.number({ op: "unet" })),
      theirs: Number(gemm["operations"]) / Number(gemm["seconds"]),
    });
  }
  return { figure: GEMM_SHARE, threads, ...medians(rounds), target: targets[GEMM_SHARE] ?? null };
}

/** From the start of a process to the end of its first step: both halves. */
export async function compareColdStart(
  subject: DiffusersSubject,
  python: string,
  threads: number,
): Promise<Comparison> {
  const { checkpoint, size } = subject;
  const startOf = async (name: SideName): Promise<number> => {
    const startMs = performance.now();
    const side = new Side(name, python);
    await side.ask({ op: "open", checkpoint, threads, ...size });
    await side.ask({ op: "first_step" });
    const seconds = (performance.now() - startMs) / 1_000;
    await side.close();
    return seconds;
  };
  const rounds: Pair[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    rounds.push({ ours: await startOf("ours"), theirs: await startOf("diffusers") });
  }
  return compared(subject, "cold start", threads, rounds);
}

/** A clip on two nodes with a thread each, beside diffusers with two threads. */
export async function compareWholeClip(
  subject: DiffusersSubject,
  python: string,
): Promise<Comparison> {
  const { checkpoint, size, image, clipSteps } = subject;
  const side = new Side("diffusers", python);
  const farm = await openFarm(subject);
  try {
    await side.ask({ op: "open", checkpoint, threads: 2, ...size });
    const request = { op: "render", image, steps: clipSteps, seed: 1 } as const;
    // A farm that waits takes nothing from diffusers, and the other way round.
    const round = async (): Promise<Pair> => ({
      ours: await farm.render(),
      theirs: await side.number(request),
    });
    await round();
    const rounds: Pair[] = [];
    for (let i = 0; i < ROUNDS; i++) rounds.push(await round());
    return compared(subject, "whole clip", 2, rounds);
  } finally {
    await side.close();
    await farm.stop();
  }
}

export async function versions(python: string): Promise<Versions> {
  const answers: Answer[] = [];
  for (const name of SIDES) {
    const side = new Side(name, python);
    answers.push(await side.ask({ op: "versions" }));
    await side.close();
  }
  return { ours: answers[0]!, theirs: answers[1]! };
}

function compared(
  subject: DiffusersSubject,
  figure: Figure,
  threads: number,
  rounds: readonly Pair[],
): Comparison {
  return { figure, threads, ...medians(rounds), target: subject.targets[figure] ?? null };
}

function medians(rounds: readonly Pair[]): Pair & { readonly ratio: number } {
  return {
    ours: median(rounds.map(({ ours }) => ours)),
    theirs: median(rounds.map(({ theirs }) => theirs)),
    ratio: median(rounds.map(({ ours, theirs }) => ours / theirs)),
  };
}

/** Whether a comparison reached its target; true without one. */
export function isReached({ figure, ratio, target }: Comparison): boolean {
  if (target === null) return true;
  return figure === GEMM_SHARE ? ratio >= target : ratio <= target;
}
