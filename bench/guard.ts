/**
 * @file `npm run bench -- guard [--write]`: the ratios ours / diffusers of now beside those of
 * bench/guard.json. One that grew beyond noise fails; `--write` commits to those of now.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import {
  compareOperations,
  type DiffusersSubject,
  type Figure,
  GEMM_SHARE,
  sizeOf,
} from "./diffusers/compare.js";
import { pythonWithDiffusers } from "./diffusers/python-environment.js";
import { root, SUBJECTS } from "./subjects.js";

/**
 * How much a ratio may grow: medians of interleaved rounds on a busy machine of two cores move by a
 * quarter; memory hardly moves.
 */
const GROWTH: Readonly<Partial<Record<Figure, number>>> = { "peak memory": 1.05 };
const GROWTH_OF_TIMES = 1.25;

interface Committed {
  readonly checkpoint: string;
  readonly figure: Figure;
  readonly ratio: number;
}

/** @returns whether no ratio grew beyond noise */
export async function benchGuard(args: readonly string[]): Promise<boolean> {
  const { values } = parseArgs({
    args: [...args],
    options: { write: { type: "boolean", default: false } },
  });
  const path = join(root, "bench", "guard.json");
  // Before minutes of measuring.
  const committed = values.write ? [] : await readCommitted(path);
  if (committed === null) {
    process.stderr.write("bench/guard.json is missing; npm run bench -- guard --write makes it\n");
    return false;
  }
  const found = await measureRatios();
  if (values.write) {
    await writeFile(path, `${JSON.stringify(found, null, 2)}\n`);
    return true;
  }
  let holds = true;
  for (const { checkpoint, figure, ratio } of found) {
    const before = committed.find((c) => c.checkpoint === checkpoint && c.figure === figure);
    const most = before ? before.ratio * (GROWTH[figure] ?? GROWTH_OF_TIMES) : null;
    const verdict = most === null ? "new" : ratio <= most ? "holds" : "WORSE";
    holds &&= verdict !== "WORSE";
    const was = before === undefined ? "" : `, was ${before.ratio.toFixed(2)}`;
    process.stdout.write(`${checkpoint}, ${figure}: ${ratio.toFixed(2)}${was}: ${verdict}\n`);
  }
  return holds;
}

/** @returns null where there are none yet */
async function readCommitted(path: string): Promise<Committed[] | null> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
    return null;
  });
  return text === null ? null : (JSON.parse(text) as Committed[]);
}

async function measureRatios(): Promise<Committed[]> {
  const python = await pythonWithDiffusers();
  const rows: Committed[] = [];
  for (const each of SUBJECTS) {
    const { name, checkpoint, image } = each;
    const size = await sizeOf(each);
    const subject: DiffusersSubject = { name, checkpoint, image, size, clipSteps: 10, targets: {} };
    for (const { figure, ratio } of await compareOperations(subject, python, 1)) {
      if (figure === GEMM_SHARE) continue;
      rows.push({ checkpoint: name, figure, ratio: Number(ratio.toFixed(3)) });
    }
  }
  return rows;
}
