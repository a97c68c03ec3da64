/** @file How long a standby takes to lead, from when the lease is free: one that followed, one that reads. */
import { join } from "node:path";
import type { FarmEvent } from "../../coordinator/plan/events.js";
import { encodeEvent } from "../../coordinator/shell/event-codec.js";
import { recoverFarm } from "../../coordinator/shell/recover.js";
import { Standby } from "../../coordinator/shell/standby.js";
import { systemClock } from "../../shared/adapters/clock/system-clock.js";
import { FileBlobStore } from "../../shared/adapters/files/file-blob-store.js";
import { JetStreamJournal } from "../../shared/adapters/nats/jetstream-journal.js";
import { JetStreamTail } from "../../shared/adapters/nats/jetstream-tail.js";
import { NatsLease } from "../../shared/adapters/nats/nats-lease.js";
import { silentLog } from "../../shared/ports/log.js";
import { type Figure, noted } from "../farm/figures.js";
import { BenchServer } from "./bench-server.js";

/** As many as a snapshot may be behind, twice: one is being written. */
const EVENTS = 20_000;
const ROUNDS = 3;

export async function measureTakeover(): Promise<Figure[]> {
  const server = await BenchServer.start();
  const client = await server.connect("coordinator");
  try {
    const blobs = await FileBlobStore.open(join(server.folder, "blobs"));
    const names = { prefix: "bench", farm: "bench" };
    const parts = { client, names, clock: systemClock, log: silentLog, blobs };
    await write(parts, EVENTS);
    const figures = { followed: [] as number[], read: [] as number[] };
    for (let round = 0; round < ROUNDS; round++) {
      figures.read.push(await takeOver(parts, null));
      const standby = new Standby({ ...parts, openTail: () => JetStreamTail.open(parts) });
      await standby.reached(EVENTS);
      figures.followed.push(await takeOver(parts, standby));
    }
    const worst = (times: readonly number[]) => Math.max(...times);
    return [
      noted(`taking over ${EVENTS} events, by who followed, worst`, worst(figures.followed), "ms"),
      noted(`taking over ${EVENTS} events, by who reads them, worst`, worst(figures.read), "ms"),
    ];
  } finally {
    await client.close();
    await server.stop();
  }
}

type Parts = Omit<Parameters<typeof JetStreamJournal.open>[0], "lease">;

async function lead(parts: Parts, standby: Standby<JetStreamTail> | null) {
  const lease = await NatsLease.take({ ...parts, holder: "bench" });
  if (!(lease instanceof NatsLease)) throw new Error(`led by ${lease.heldBy}`);
  const followed = (await standby?.stop()) ?? null;
  const reading = followed?.tail.reading ?? null;
  const journal = await JetStreamJournal.open({ ...parts, lease, followed: reading });
  await recoverFarm(journal, silentLog, followed);
  return journal;
}

async function takeOver(parts: Parts, standby: Standby<JetStreamTail> | null): Promise<number> {
  const startMs = performance.now();
  const journal = await lead(parts, standby);
  const ms = performance.now() - startMs;
  await journal.close();
  return ms;
}

async function write(parts: Parts, count: number): Promise<void> {
  const journal = await lead(parts, null);
  const events = Array.from(
    { length: count },
    (_, atMs): FarmEvent => ({ kind: "farm-started", atMs }),
  );
  for (let at = 0; at < count; at += 100) {
    await journal.append(events.slice(at, at + 100).map(encodeEvent));
  }
  await journal.close();
}
