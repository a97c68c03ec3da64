/** @file `npm run sim`: many seeds, one after the other; the first failure is printed and ends it. */
import { parseArgs } from "node:util";
import { catchMutation, describeFailure, readable } from "./campaign.js";
import { LATER_MUTATIONS, MUTATIONS, THIRD_MUTATIONS } from "./mutations.js";
import { scenarioOfSize } from "./scenario.js";
import { simulate } from "./simulation.js";

const MUTATION_SEEDS_MAX = 500;

const USAGE =
  "npm run sim -- [--seeds 200] [--from 1] [--seed S] [--nodes N [--jobs 20]] [--trace] [--mutations]";

function main(): number {
  const { values } = parseArgs({
    options: {
      seeds: { type: "string", default: "200" },
      from: { type: "string", default: "1" },
      seed: { type: "string" },
      nodes: { type: "string" },
      jobs: { type: "string", default: "20" },
      trace: { type: "boolean", default: false },
      mutations: { type: "boolean", default: false },
    },
  });
  if (values.mutations) return runMutations();
  const from = wholeNumber("--from", values.seed ?? values.from);
  const count = values.seed === undefined ? wholeNumber("--seeds", values.seeds) : 1;
  const size =
    values.nodes === undefined
      ? null
      : { nodes: wholeNumber("--nodes", values.nodes), jobs: wholeNumber("--jobs", values.jobs) };
  return runSeeds(from, count, { size, keepsTrace: values.trace });
}

interface Manner {
  /** Null: what each seed decides. */
  readonly size: { readonly nodes: number; readonly jobs: number } | null;
  readonly keepsTrace: boolean;
}

function runSeeds(from: number, count: number, { size, keepsTrace }: Manner): number {
  const startMs = Date.now();
  const totals = new Map<string, number>();
  let events = 0;
  for (let seed = from; seed < from + count; seed++) {
    const sized = size && { scenario: scenarioOfSize(seed, size) };
    const outcome = simulate(seed, { keepsTrace, ...sized });
    if (keepsTrace) for (const line of outcome.trace) console.log(readable(line));
    events += outcome.events;
    for (const [what, n] of outcome.counts) totals.set(what, (totals.get(what) ?? 0) + n);
    if (outcome.failure) {
      console.error(describeFailure(outcome));
      return 1;
    }
  }
  const seconds = (Date.now() - startMs) / 1000;
  for (const [what, n] of [...totals].sort(([a], [b]) => (a < b ? -1 : 1))) {
    console.log(`${String(n).padStart(8)} ${what}`);
  }
  console.log(`${count} seeds from ${from}: all invariants held, ${events} events, ${seconds} s`);
  return 0;
}

/** Plants each bug and looks for the first seed whose run sees it. */
function runMutations(): number {
  let missed = 0;
  const planted = [...MUTATIONS, ...LATER_MUTATIONS, ...THIRD_MUTATIONS];
  for (const { name, core } of planted) {
    const caught = catchMutation(core, MUTATION_SEEDS_MAX);
    if (caught === null) missed += 1;
    const how = caught
      ? `${caught.failure?.invariant} at seed ${caught.seed}`
      : `NOT SEEN in ${MUTATION_SEEDS_MAX} seeds`;
    console.log(`${how.padEnd(18)} ${name}`);
    if (caught)
      console.log(`${" ".repeat(18)} ${readable(caught.failure?.text.split("\n")[0] ?? "")}`);
  }
  console.log(`${planted.length - missed} of ${planted.length} planted bugs are seen`);
  return missed === 0 ? 0 : 1;
}

function wholeNumber(flag: string, text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  console.error(`${flag}: '${text}' is not a whole number from 0 to 999999999\n${USAGE}`);
  process.exit(2);
}

process.exitCode = main();
