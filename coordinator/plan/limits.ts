/** @file Every bound the coordinator decides by. Times in milliseconds. */

/**
 * What failed on this many distinct nodes is at fault itself: a task fails its clip, and a job whose
 * tasks of one stage did so, with none done between, is quarantined as a whole.
 */
export const FAILED_NODES_MAX = 3;

/** A task that failed this often in all fails its clip, also on a farm of one node. */
export const FAILURES_MAX = 5;

/** NaN or infinity this often, on whatever nodes, is the checkpoint's or the picture's fault. */
export const NUMERICAL_FAILURES_MAX = 2;

/** Results of a clip that are made again in one run of it; a store that loses more is to be looked at. */
export const REMAKES_MAX = 5;

/** A node on which tasks of this many jobs failed in a row gets no more work until it is undrained. */
export const FAILED_JOBS_OF_NODE_MAX = 3;

/** A node that was lost this often within the window is held down after it joins again. */
export const NODE_LOSSES_MAX = 3;
export const NODE_LOSSES_WINDOW_MS = 60_000;
/** How long a flapping node gets no work after it joined. */
export const NODE_HOLD_DOWN_MS = 30_000;

/** Two nodes whose halves do not reach each other are not paired again for this long. */
export const PAIR_APART_MS = 60_000;

/** Kinds of work whose duration, or whose memory, is remembered; the least recent are forgotten. */
export const LEARNED_KINDS_MAX = 1_000;

/** How long it is remembered that work of a shape ran out of memory: machines change. */
export const MEMORY_REMEMBERED_MS = 3_600_000;

/** How long a task that ran out of memory waits while no node has more, before its clip fails. */
export const BIGGER_NODE_MS_MAX = 600_000;

/**
 * The longest denoising that a node starts while it stores the latents of another clip, whose decoding
 * will want it in a moment.
 */
export const OVERTAKING_MS_MAX = 2_000;

/** How often a node says that it lives. */
export const HEARTBEAT_MS = 1_000;

/**
 * A node that was silent for this long is lost; a node that heard nothing for it stops its work. Half
 * a second short of what is promised, for timers that come late on a busy machine.
 */
export const LEASE_MS = 4_500;

/** Jobs that have not ended; one more is refused. */
export const OPEN_JOBS_MAX = 10_000;

/** Tasks of those jobs; a job that would bring more is refused. Each takes about 1 KiB of memory. */
export const OPEN_TASKS_MAX = 100_000;

/**
 * Events after which the farm is kept as a snapshot: the most that a restart replays, but for those
 * that come while one is written.
 */
export const SNAPSHOT_EVENTS = 10_000;
