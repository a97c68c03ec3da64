/** @file One checkpoint on both sides, interleaved: what one of them is slowed by, the other is, too. */
import { openCheckpoint } from "../../gpu-node/checkpoint/open-checkpoint.js";
import { median } from "../statistics.js";
import type { Subject } from "../subjects.js";
import { type Answer, type Size, TIMED_OPS } from "./protocol.js";
import { Side, type SideName } from "./side.js";
import { CLIP_STEPS, renderOnFarm } from "./whole-clip.js";

export interface DiffusersSubject extends Pick<Subject, "name" | "checkpoint" | "image"> {
  readonly size: Size;
  /** Largest ratio ours / theirs that counts as reached; absent: only reported. */
  readonly targets: Partial<Record<Figure, number>>;
}

/** What is compared; seconds, but for memory's bytes. */
export const FIGURES = [...TIMED_OPS, "cold start", "whole clip", "peak memory"] as const;
export type Figure = (typeof FIGURES)[number];

export interface Comparison {
  readonly figure: Figure;
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

/** Rounds that count, after one that does not. */
const ROUNDS = 5;
const COLD_ROUNDS = 3;
const SIDES: readonly SideName[] = ["ours", "diffusers"];

interface Pair {
  readonly ours: number;
  readonly theirs: number;
}

/** The size of a subject's clip; the files of its checkpoint say whether they are of the variant. */
export async function sizeOf({ checkpoint, frames, height, width }: Subject): Promise<Size> {
  const { variant } = await openCheckpoint(checkpoint);
  return { frames, height, width, fp16: variant === "fp16" };
}

/** Seconds of every operation, and the memory it took. */
export async function compareOperations(
  subject: DiffusersSubject,
  python: string,
  threads: number,
): Promise<Comparison[]> {
  const sides = SIDES.map((name) => new Side(name, python));
  const both = async (ask: (side: Side) => Promise<number>): Promise<Pair> => ({
    ours: await ask(sides[0]!),
    theirs: await ask(sides[1]!),
  });
  try {
    const { checkpoint, size } = subject;
    for (const side of sides) await side.ask({ op: "open", checkpoint, threads, ...size });
    const found: Comparison[] = [];
    for (const op of TIMED_OPS) {
      await both((side) => side.number({ op }));
      const rounds: Pair[] = [];
      for (let i = 0; i < ROUNDS; i++) rounds.push(await both((side) => side.number({ op })));
      found.push(compared(subject, op, threads, rounds));
    }
    const memory = await both((side) => side.number({ op: "memory" }, "bytes"));
    return [...found, compared(subject, "peak memory", threads, [memory])];
  } finally {
    for (const side of sides) await side.close();
  }
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
  for (let i = 0; i < COLD_ROUNDS; i++) {
    rounds.push({ ours: await startOf("ours"), theirs: await startOf("diffusers") });
  }
  return compared(subject, "cold start", threads, rounds);
}

/** A clip on two nodes with a thread each, beside diffusers with two threads. */
export async function compareWholeClip(
  subject: DiffusersSubject,
  python: string,
): Promise<Comparison> {
  const { checkpoint, size, image } = subject;
  const side = new Side("diffusers", python);
  try {
    await side.ask({ op: "open", checkpoint, threads: 2, ...size });
    const render = { op: "render", image, steps: CLIP_STEPS, seed: 1 } as const;
    await side.number(render);
    const rounds: Pair[] = [];
    // A farm that waits takes nothing from diffusers, and the other way round.
    for (let i = 0; i < COLD_ROUNDS; i++) {
      const [ours] = await renderOnFarm(subject, 1);
      rounds.push({ ours: ours!, theirs: await side.number(render) });
    }
    return compared(subject, "whole clip", 2, rounds);
  } finally {
    await side.close();
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
  return {
    ...{ figure, threads },
    ours: median(rounds.map(({ ours }) => ours)),
    theirs: median(rounds.map(({ theirs }) => theirs)),
    ratio: median(rounds.map(({ ours, theirs }) => ours / theirs)),
    target: subject.targets[figure] ?? null,
  };
}
