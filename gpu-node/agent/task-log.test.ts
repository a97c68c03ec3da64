import { expect, test } from "vitest";
import { farmLog } from "../../shared/adapters/logs/farm-log.js";
import type { TaskAssignment } from "../../shared/farm/work.js";
import { TaskLog } from "./task-log.js";

const JOB = "0123456789abcdefghjkmnpqrs";
const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const assignment = {
  ...{ taskId: `${JOB}-0-decode-1`, jobId: JOB, clipId: `${JOB}-0`, epoch: 3, attempt: 2 },
  ...{ traceparent: `00-${TRACE}-00f067aa0ba902b7-01`, work: { stage: "decode" } },
} as TaskAssignment & object;

function linesOf(write: (log: TaskLog) => void): Record<string, unknown>[] {
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push(line) };
  write(new TaskLog(farmLog({ name: "gpu-node", destination, base: { node_id: "n1" } })));
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}

test("every line on a task has the ids of job, clip, task, node, stage, attempt and the client's trace", () => {
  const { taskId } = assignment;
  const result = { blob: null, outputs: [], seconds: 1.5, secondsPerStep: 0 };
  const lines = linesOf((log) => {
    log.order({ kind: "assign", assignment });
    log.report(taskId, 3, { kind: "finished", result });
    log.report(taskId, 3, { kind: "failed", code: "runtime-failed", detail: "no" });
    log.order({ kind: "cancel", taskId, epoch: 3 });
  });
  const ids = {
    ...{ job_id: JOB, clip_id: `${JOB}-0`, task_id: taskId, node_id: "n1", stage: "decode" },
    ...{ attempt: 2, epoch: 3, trace_id: TRACE },
  };
  expect(lines.map(({ msg }) => msg)).toEqual([
    ...["task assigned", "task finished", "task failed", "task cancelled"],
  ]);
  for (const line of lines) expect(line).toMatchObject(ids);
  expect(lines[1]).toMatchObject({ duration_s: 1.5 });
});

test("an order for a task that was never here names what it can", () => {
  const [line] = linesOf((log) => log.order({ kind: "yield", taskId: "x-0-mux", epoch: 1 }));
  expect(line).toMatchObject({ task_id: "x-0-mux", epoch: 1 });
});
