/** @file What `submit --dry-run` prints: who could do the job, how, how soon, and why not now. */
import { formatBytes } from "../shared/core/bytes.js";
import type { DryRunView } from "../shared/farm/job.js";
import { type JobParameters, stepCount } from "../shared/farm/parameters.js";
import { formatTable } from "./table.js";

export interface DryRun {
  readonly view: DryRunView;
  readonly parameters: JobParameters;
}

export function printDryRun(
  { view, parameters }: DryRun,
  flags: { readonly json?: boolean },
): void {
  if (flags.json) {
    const data = { ...view, parameters: { ...parameters, seeds: parameters.seeds.map(String) } };
    process.stdout.write(`${JSON.stringify(data, null, 2)}\n`);
  } else process.stdout.write(formatDryRun(view, parameters));
}

export function formatDryRun(view: DryRunView, parameters: JobParameters): string {
  const { clips, chunksPerClip, plan, jobsAhead, etaSeconds, whyNotNow } = view;
  const how = plan === "pair" ? "two nodes a clip" : "one node a clip";
  const eta =
    etaSeconds === null
      ? "unknown, nothing like it was measured yet"
      : `${etaSeconds.toFixed(0)} s`;
  const { numFrames, width, height, fps, guidance, fit } = parameters;
  const steps = stepCount(parameters);
  const schedule = parameters.sigmas ? " of listed sigmas" : "";
  const scales = `${parameters.minGuidanceScale} to ${parameters.maxGuidanceScale}`;
  const lines = [
    `a clip       ${numFrames} frames of ${width} x ${height} at ${fps} a second`,
    `steps        ${steps}${schedule}, ${guidance.kind} guidance from ${scales}`,
    `pictures     ${fit} to the clip's size`,
    `clips        ${clips}, each decoded in ${chunksPerClip} ${chunksPerClip === 1 ? "chunk" : "chunks"}`,
    `plan         ${plan}: ${how}`,
    `jobs ahead   ${jobsAhead}`,
    `done in      ${eta}`,
    `starts       ${whyNotNow.length === 0 ? "at once" : `not at once: ${whyNotNow.join("; ")}`}`,
  ];
  const rows = view.nodes.map(({ nodeId, whyNot, memoryBytes, tooSmallFor }) => [
    nodeId,
    memoryBytes === 0 ? "" : formatBytes(memoryBytes),
    whyNot === "" ? "yes" : `no, ${whyNot}`,
    tooSmallFor.join(", "),
  ]);
  const headings = ["NODE", "MEMORY", "CAN WORK ON IT", "TOO SMALL FOR"];
  return `${lines.join("\n")}\n\n${formatTable(headings, rows)}`;
}
