/** @file Many runs: looking for the first that fails, and describing it for people. */
import type { Core } from "./core.js";
import { NODES_MAX, type Scenario } from "./scenario.js";
import { type Outcome, simulate } from "./simulation.js";

/** The first run that fails, or null. */
export function catchMutation(core: Core, seedsMax: number): Outcome | null {
  for (let seed = 1; seed <= seedsMax; seed++) {
    const outcome = simulate(seed, { core });
    if (outcome.failure) return outcome;
  }
  return null;
}

/** Everything that is needed to see it again. */
export function describeFailure(outcome: Outcome): string {
  const { seed, failure, faults, trace, scenario, events, virtualMs } = outcome;
  return [
    ...trace.slice(-60).map(readable),
    `seed ${seed} broke after ${events} events and ${(virtualMs / 1000).toFixed(3)} virtual s:`,
    readable(failure?.text ?? ""),
    `faults so far: ${faults.join(" ") || "none"}`,
    `scenario: ${JSON.stringify(scenario)}`,
    `replay: npm run sim -- --seed ${seed}${sizeOf(scenario)} --trace`,
  ].join("\n");
}

/** Flags of a farm that is larger than seeds decide. */
function sizeOf({ nodes, users }: Scenario): string {
  return nodes.length > NODES_MAX ? ` --nodes ${nodes.length} --jobs ${users.jobs}` : "";
}

/** Ids without their padding. */
export function readable(text: string): string {
  return text.replace(/0{10,}(j\d+)/g, "$1");
}
