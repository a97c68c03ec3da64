/** @file The farm out of its journal: the newest snapshot that can be used, and the events after it. */
import { asFarmError, FarmError } from "../../shared/core/errors.js";
import type { Journal, JournalSnapshot } from "../../shared/ports/journal.js";
import type { Log } from "../../shared/ports/log.js";
import { reduceFarm } from "../plan/farm.js";
import { emptyFarm, type Farm } from "../plan/farm-state.js";
import type { FarmPart } from "../plan/snapshot.js";
import { decodeFarm, encodeFarm } from "../plan/snapshot.js";
import { decodeEvent } from "./event-codec.js";
import { JobLogs } from "./job-logs.js";

/** What every event of a journal goes to. */
export interface Replayed {
  readonly farm: Farm;
  /** Of the events that were replayed alone: a snapshot has none. */
  readonly logs: JobLogs;
}

export interface Recovered extends Replayed {
  /** Events after the snapshot that it began with. */
  readonly replayed: number;
}

/** The farm as it is at the call, as lines that a journal's snapshot is made of. */
export function snapshotLines(farm: Farm): Iterable<string> {
  return textsOf(encodeFarm(farm));
}

/**
 * A snapshot that is damaged or of another format is logged and passed over.
 *
 * @param followed the farm as a standby has it, if it followed this very journal; is changed
 * @throws FarmError "wrong-state" naming what is damaged, or the record that cannot be replayed;
 *   "unreachable" when the journal cannot be read
 */
export async function recoverFarm(
  journal: Journal,
  log: Log,
  followed: Recovered | null = null,
): Promise<Recovered> {
  const whole = followed && (await goOn(journal, log, followed));
  return whole ?? readFarm(journal, log);
}

/** @returns null where it has to be read from the beginning */
async function goOn(journal: Journal, log: Log, followed: Recovered): Promise<Recovered | null> {
  const { farm, logs, replayed } = followed;
  let count = 0;
  try {
    for await (const record of journal.readOn?.() ?? []) {
      count += 1;
      replay(followed, record, count);
    }
  } catch (error) {
    if (!(error instanceof FarmError)) throw error;
    log.warn(`what was followed cannot be used: ${error.detail}`);
    return null;
  }
  log.info(`the farm is here: the journal was followed, and ${count} records were left to read`);
  return { farm, logs, replayed: replayed + count };
}

async function readFarm(journal: Journal, log: Log): Promise<Recovered> {
  const refused: string[] = [];
  const begin = await newestUsable(journal, (reason) => {
    log.warn(`a snapshot cannot be used: ${reason}`);
    refused.push(reason);
  });
  const farm = begin?.farm ?? emptyFarm();
  const logs = new JobLogs();
  let number = begin?.snapshot.head.number ?? 0;
  const first = number;
  try {
    for await (const record of journal.read(begin?.snapshot ?? null)) {
      number += 1;
      replay({ farm, logs }, record, number);
    }
  } catch (error) {
    if (!(error instanceof FarmError) || refused.length === 0) throw error;
    const detail = `${error.detail}; snapshots that cannot be used: ${refused.join("; ")}`;
    throw new FarmError(error.code, detail, { cause: error });
  }
  const from = begin ? `the snapshot of record ${first}` : "the first record";
  log.info(`the farm is back: from ${from}, and ${number - first} records after it`);
  return { farm, logs, replayed: number - first };
}

function* textsOf(parts: Iterable<FarmPart>): Generator<string, void> {
  for (const part of parts) yield JSON.stringify(part);
}

export async function newestUsable(
  journal: Pick<Journal, "snapshots">,
  onRefused: (reason: string) => void,
): Promise<{ snapshot: JournalSnapshot; farm: Farm } | null> {
  for (const snapshot of await journal.snapshots()) {
    try {
      const parts: FarmPart[] = [];
      for await (const line of snapshot.lines()) parts.push(JSON.parse(line) as FarmPart);
      return { snapshot, farm: decodeFarm(parts) };
    } catch (error) {
      // Anything else is a bug, which another snapshot would only hide.
      if (!(error instanceof FarmError)) throw error;
      onRefused(`that of record ${snapshot.head.number}: ${error.detail}`);
    }
  }
  return null;
}

/** @param number of the record, for a message */
export function replay({ farm, logs }: Replayed, record: string, number: number): void {
  try {
    const event = decodeEvent(record);
    logs.applied(farm, event, reduceFarm(farm, event));
  } catch (error) {
    const { detail } = asFarmError(error);
    const text = `record ${number} of the journal cannot be replayed: ${detail}`;
    throw new FarmError("wrong-state", text, { cause: error });
  }
}
