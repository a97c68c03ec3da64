/** @file The invariants by number, and what is thrown when one does not hold. */

export const INVARIANTS = {
  I1: "an accepted job is never lost, has one terminal state a run, and never changes it",
  I2: "what a task made is what the fault-free run makes of the same parameters",
  I3: "a published clip has exactly one manifest a run, and all that it names exists",
  I4: "nothing that a job owns is removed from the store before the job lets go of it",
  I5: "queues and histories are bounded",
  I7: "nothing carrying an old epoch, or from one who is no member, has an effect",
  I8: "after the faults have stopped every job ends in bounded time, and nothing goes on for it",
  I9: "a task fails for good exactly when its retry budget is spent, and only its own faults spend it; what cannot be read is made again",
  I10: "a slot holds a task exactly while the task's grant names the node; one GPU task a node",
  I11: "replaying the journal gives the farm in memory",
  I12: "a step consumes only halves of this step, of the same latents and grant",
  I13: "the queue holds exactly the ready tasks of jobs that are not held; no order is sent before its event is in the journal",
  I14: "a job that has not ended expires when its deadline has passed, and no other job does",
  I15: "of each owner so many jobs are worked on as may, and one that waits for the others is counted as waiting",
} as const;

export type InvariantId = keyof typeof INVARIANTS;

export class Violation extends Error {
  override readonly name = "Violation";
  readonly invariant: InvariantId;

  constructor(invariant: InvariantId, detail: string) {
    super(`${invariant} (${INVARIANTS[invariant]}): ${detail}`);
    this.invariant = invariant;
  }
}

/** @throws Violation unless it holds */
export function hold(holds: boolean, invariant: InvariantId, detail: () => string): void {
  if (!holds) throw new Violation(invariant, detail());
}
