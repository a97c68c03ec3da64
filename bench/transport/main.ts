/** @file `npm run bench -- transport [--only GROUP,...] [--json]`: halves, events and blobs on their way. */
import type { Figure } from "../farm/figures.js";
import { benchGroups } from "../farm/main.js";
import { measureStepOverhead } from "../farm/step-overhead.js";
import { measureBlobs } from "./measure-blobs.js";
import { measureBrokerBytes } from "./measure-broker-bytes.js";
import { measureExchange } from "./measure-exchange.js";
import { measureJournal } from "./measure-journal.js";
import { measureStep } from "./measure-step.js";
import { measureTakeover } from "./measure-takeover.js";

const GROUPS: Readonly<Record<string, () => Promise<Figure[]>>> = {
  exchange: measureExchange,
  step: measureStep,
  checkpoints: measureStepOverhead,
  bytes: measureBrokerBytes,
  journal: measureJournal,
  takeover: measureTakeover,
  blobs: measureBlobs,
};

/** @returns whether every figure is reached */
export function benchTransport(args: readonly string[]): Promise<boolean> {
  return benchGroups(GROUPS, args);
}
