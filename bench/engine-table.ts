/** @file `npm run bench`: the engine and what the farm adds to it on this machine, as a table. */
import { cpus } from "node:os";
import { measureEngine } from "./engine.js";
import { measureFarm } from "./farm-step.js";
import { SUBJECTS } from "./subjects.js";

const HEADINGS = [
  "checkpoint",
  "size",
  "UNet half s",
  "decoded frame s",
  "cold start s",
  "step, 1 node s",
  "farm adds ms",
  "step, pair s",
  "farm adds ms",
  "same bytes",
];

/** Milliseconds of a step that are not graph runs. */
const added = (step: number, computed: number) => ((step - computed) * 1000).toFixed(1);

/** @returns whether both plans gave the same bytes everywhere */
export async function benchEngine(): Promise<boolean> {
  const rows: string[][] = [];
  for (const subject of SUBJECTS) {
    process.stderr.write(`measuring ${subject.name}\n`);
    const engine = await measureEngine(subject, 1);
    const farm = await measureFarm(subject);
    rows.push([
      subject.name,
      `${subject.frames} x ${subject.height} x ${subject.width}`,
      engine.unetHalf.toFixed(4),
      engine.decodedFrame.toFixed(4),
      engine.coldStart.toFixed(2),
      farm.singleStep.toFixed(4),
      added(farm.singleStep, 2 * engine.unetHalf),
      farm.pairStep.toFixed(4),
      added(farm.pairStep, engine.unetHalf),
      farm.sameBytes ? "yes" : "NO",
    ]);
  }

  process.stdout.write(
    `${cpus()[0]?.model ?? "?"}, ${cpus().length} cores, Node ${process.version}, one thread a node; medians\n\n`,
  );
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |\n`;
  process.stdout.write(line(HEADINGS) + line(HEADINGS.map(() => "---")) + rows.map(line).join(""));
  return rows.every((row) => row.at(-1) === "yes");
}
