/** @file How much of the farm's door one owner may have. */

export interface Quota {
  /** Jobs that wait; one more is refused. */
  readonly queuedJobs: number;
  /** Jobs that are worked on; one more waits until one of them has ended. 0: no bound. */
  readonly runningJobs: number;
  readonly submitsPerSecond: number;
  /** Submits that may come at once after a pause. */
  readonly submitBurst: number;
  readonly inputBytesPerHour: number;
}

export const QUOTA_DEFAULT: Quota = {
  queuedJobs: 100,
  runningJobs: 4,
  submitsPerSecond: 5,
  submitBurst: 20,
  inputBytesPerHour: 1024 ** 3,
};
