/**
 * @file `npm run bench -- guard [--write]`: the ratios ours / diffusers of now beside those of
 * bench/guard.json. One that grew beyond noise fails; `--write` commits to the medians of some runs now.
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
import { median } from "./statistics.js";
import { root, SUBJECTS } from "./subjects.js";

/**
 * How much a ratio may grow. Of five runs on a quiet machine of two cores the demo's UNet had 0.46 to
 * 0.66, and the peak of a small process 0.31 to 0.33.
 */
const GROWTH: Readonly<Partial<Record<Figure, number>>> = { "peak memory": 1.1 };
const GROWTH_OF_TIMES = 1.25;
/** What one run finds may be an end of that range; what is committed to is the middle of these. */
const RUNS_COMMITTED = 5;
/** What takes less is noise: an image encoder of half a millisecond moves by half between two runs. */
const SECONDS_MIN = 0.005;

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
  if (values.write) {
    const runs: Committed[][] = [];
    while (runs.length < RUNS_COMMITTED) runs.push(await measureRatios());
    await writeFile(path, `${JSON.stringify(mediansOf(runs), null, 2)}\n`);
    return true;
  }
  const found = await measureRatios();
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

/** The median ratio of each figure; one that some run left out, as too quick, is left out. */
function mediansOf(runs: readonly (readonly Committed[])[]): Committed[] {
  return runs[0]!.flatMap(({ checkpoint, figure }) => {
    const ratios = runs.flatMap((run) =>
      run.filter((c) => c.checkpoint === checkpoint && c.figure === figure).map((c) => c.ratio),
    );
    return ratios.length < runs.length ? [] : [{ checkpoint, figure, ratio: median(ratios) }];
  });
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
    for (const { figure, ratio, ours } of await compareOperations(subject, python, 1)) {
      if (figure === GEMM_SHARE || ours < SECONDS_MIN) continue;
      rows.push({ checkpoint: name, figure, ratio: Number(ratio.toFixed(3)) });
    }
  }
  return rows;
}
