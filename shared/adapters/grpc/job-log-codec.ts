/** @file The log of a job on the wire. */
import * as wire from "../../../proto/gen/renderfarm/v1/job.js";
import type { JobEvent } from "../../../proto/gen/renderfarm/v1/job_service.js";
import type { JobLogEntry } from "../../farm/job-log.js";
import { decodeStageName, encodeStage } from "./job-codec.js";

export function encodeJobEvent({ atMs, what, task, nodeIds, detail }: JobLogEntry): JobEvent {
  return {
    ...{ time: new Date(atMs), what, nodeIds: [...nodeIds], detail },
    stage: task ? encodeStage(task.stage) : wire.Stage.UNSPECIFIED,
    clipIndex: task?.clipIndex ?? 0,
    chunkIndex: task?.chunkIndex ?? 0,
    attempt: task?.attempt ?? 0,
  };
}

/** @throws FarmError "invalid-argument" for a stage that is none */
export function decodeJobEvent(event: JobEvent, field: string): JobLogEntry {
  const { time, what, stage, clipIndex, chunkIndex, attempt, nodeIds, detail } = event;
  const task =
    stage === wire.Stage.UNSPECIFIED
      ? null
      : { stage: decodeStageName(stage, `${field}.stage`), clipIndex, chunkIndex, attempt };
  return { atMs: time?.getTime() ?? 0, what, task, nodeIds, detail };
}
