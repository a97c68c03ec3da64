/** @file Every bound the coordinator decides by. Times in milliseconds. */

/** A task that failed on this many distinct nodes is at fault itself: its clip fails. */
export const FAILED_NODES_MAX = 3;

/** A task that failed this often in all fails its clip, also on a farm of one node. */
export const FAILURES_MAX = 5;

/** How often a node says that it lives. */
export const HEARTBEAT_MS = 1_000;

/** A node that was silent for this long is lost; a node that heard nothing for it stops its work. */
export const LEASE_MS = 5_000;

/** Jobs that have not ended; one more is refused. */
export const OPEN_JOBS_MAX = 10_000;
