/** @file `renderfarm logs`: what became of a job, a line each. */
import type { JobLogEntry } from "../shared/farm/job-log.js";
import { type JobFlags, withFarm } from "./jobs.js";
import { printList } from "./output.js";
import { checkJobId } from "./watch.js";

export async function logs(jobId: string, flags: JobFlags): Promise<void> {
  checkJobId(jobId);
  const entries = await withFarm(flags, (client) => client.jobLog(jobId));
  printList(entries, flags, {
    columns: [
      { heading: "TIME", cell: ({ atMs }) => new Date(atMs).toISOString() },
      { heading: "CLIP", cell: ({ task }) => (task ? String(task.clipIndex + 1) : "") },
      { heading: "TASK", cell: taskName },
      { heading: "TRY", cell: ({ task }) => (task ? String(task.attempt) : "") },
      { heading: "WHAT", cell: ({ what }) => what },
      { heading: "NODES", cell: ({ nodeIds }) => nodeIds.join(",") },
      { heading: "DETAIL", cell: ({ detail }) => detail },
    ],
    name: ({ what }) => what,
  });
}

function taskName({ task }: JobLogEntry): string {
  if (!task) return "";
  return task.stage === "decode" ? `decode ${task.chunkIndex + 1}` : task.stage;
}
