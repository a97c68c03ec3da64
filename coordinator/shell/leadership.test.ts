import { beforeEach, expect, test } from "vitest";
import { MemoryJournal } from "../../shared/adapters/memory/memory-journal.js";
import { FarmError } from "../../shared/core/errors.js";
import type { BlobStore } from "../../shared/ports/blob-store.js";
import type { Journal } from "../../shared/ports/journal.js";
import { silentLog } from "../../shared/ports/log.js";
import { Leadership, type Led } from "./leadership.js";

const away = new FarmError("unreachable", "the lease is lost");
const damaged = new FarmError("wrong-state", "record 7 is damaged");

let told: string[];
let terms: { readonly journal: Journal; readonly breakIt: (error: unknown) => void }[];
/** What the starts to come do instead. */
let failures: FarmError[];
beforeEach(() => {
  told = [];
  terms = [];
  failures = [];
});

function leadershipOf(canStandBy: boolean): Leadership<Led> {
  return new Leadership<Led>({
    source: {
      canStandBy,
      lead: async (_blobs, onStandby) => {
        if (canStandBy) onStandby("another");
        return { journal: new MemoryJournal(), followed: null };
      },
      close: async () => void told.push("source closed"),
    },
    blobs: {} as BlobStore,
    log: silentLog,
    start: async ({ journal }, address, breakIt) => {
      const failure = failures.shift();
      if (failure) throw failure;
      terms.push({ journal, breakIt });
      return { address: address ?? "first", stop: async () => void told.push("stopped") };
    },
    onStandby: (heldBy) => told.push(`standby of ${heldBy}`),
    onLead: ({ address }) => told.push(`leads at ${address}`),
  });
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

test("a coordinator that lost its lease is stopped, and leads again where it listened", async () => {
  const leadership = leadershipOf(true);
  const running = leadership.run();
  await until(() => terms.length === 1);
  terms[0]!.breakIt(away);
  await until(() => terms.length === 2);
  await leadership.stop();
  terms[1]!.breakIt(away);
  await running;
  const term = ["standby of another", "leads at first"];
  expect(told).toEqual([...term, "stopped", ...term, "stopped", "source closed"]);
});

test.each([
  ["a journal that nobody else may lead", false, away],
  ["damage, which would be the same the next time", true, damaged],
])("%s ends the process", async (_name, canStandBy, error) => {
  const running = leadershipOf(canStandBy).run();
  await until(() => terms.length === 1);
  terms[0]!.breakIt(error);
  await expect(running).rejects.toThrow(error.detail);
});

test("what the first start throws is thrown, and its journal closed", async () => {
  failures = [away];
  await expect(leadershipOf(true).run()).rejects.toThrow(away.detail);
});

test("a later start that does not reach the journal is tried again", async () => {
  const leadership = leadershipOf(true);
  const running = leadership.run();
  await until(() => terms.length === 1);
  failures = [away, away];
  terms[0]!.breakIt(away);
  await until(() => terms.length === 2);
  await leadership.stop();
  terms[1]!.breakIt(away);
  await running;
  expect(told.filter((text) => text.startsWith("leads"))).toHaveLength(2);
});
