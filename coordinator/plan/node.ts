/** @file A connected node as the scheduler sees it. */
import type { ModelInfo, NodePreference } from "../../shared/farm/work.js";

/** What a node said of itself when it joined. */
export interface NodeInfo {
  readonly nodeId: string;
  /** New at each start of the agent. */
  readonly bootId: string;
  /** The one checkpoint that it serves. */
  readonly model: ModelInfo;
  /** Execution provider, e.g. "cpu". */
  readonly provider: string;
  /** Equal in two nodes whose runs of one graph give equal bytes; only such nodes are paired. */
  readonly planHash: string;
  readonly busAddress: string;
  readonly busToken: string;
  readonly hasFfmpeg: boolean;
  /** Bytes that its runtime may use; 0: not known, and less than any other. */
  readonly memoryBytes: number;
  readonly prefers: NodePreference;
}

/**
 * A node has one slot for the accelerator, one for a task that has left it, and one for files: ffmpeg
 * beside a denoising GPU.
 */
export interface Node {
  readonly info: NodeInfo;
  /** Task on the accelerator (condition, denoise, decode), or null. */
  gpuTaskId: string | null;
  /** Task of the accelerator that has computed all and whose result is being stored, or null. */
  endingTaskId: string | null;
  /** Task that writes files (mux), or null. */
  muxTaskId: string | null;
  /** It said that it will stop: no new work, and its end is no loss. */
  stopping: boolean;
  /** Nodes with which it made a pair that broke although both were connected, and when. */
  apart: readonly { readonly nodeId: string; readonly atMs: number }[];
  /** Shape of the last work on the accelerator, whose graph is at hand; "" before the first. */
  lastShape: string;
}

/** Every task that a node works on. */
export function tasksHeld({ gpuTaskId, endingTaskId, muxTaskId }: Node): string[] {
  return [gpuTaskId, endingTaskId, muxTaskId].filter((taskId) => taskId !== null);
}

/** What the farm remembers of a node id, whether it is connected or not. */
export interface NodeRecord {
  /** Gets no new work, by an operator's word. Set by drain, cleared by undrain. */
  readonly draining: boolean;
  /** Jobs of which a task failed here since the last success; too many: quarantined until undrain. */
  readonly failedJobIds: readonly string[];
  readonly quarantined: boolean;
  /** When it was lost lately, the oldest first. */
  readonly lostAtMs: readonly number[];
  /** Joined again after losses in a row: no work before this time. */
  readonly heldUntilMs: number;
}

export const NEW_NODE_RECORD: NodeRecord = {
  draining: false,
  failedJobIds: [],
  quarantined: false,
  lostAtMs: [],
  heldUntilMs: 0,
};
