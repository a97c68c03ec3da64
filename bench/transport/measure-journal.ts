/** @file Appends a second, each durable before the next or many at once, beside the journal of files. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../../shared/adapters/clock/system-clock.js";
import { FileBlobStore } from "../../shared/adapters/files/file-blob-store.js";
import { FileJournal } from "../../shared/adapters/files/file-journal.js";
import { JetStreamJournal } from "../../shared/adapters/nats/jetstream-journal.js";
import { NatsLease } from "../../shared/adapters/nats/nats-lease.js";
import type { Journal } from "../../shared/ports/journal.js";
import { silentLog } from "../../shared/ports/log.js";
import { type Figure, noted } from "../farm/figures.js";
import { BenchServer } from "./bench-server.js";

/** As long as the event of a granted task. */
const RECORD = JSON.stringify({ kind: "bench", text: "x".repeat(400) });
const ALONE = 500;
const TOGETHER = 20_000;
const AT_ONCE = 256;

export async function measureJournal(): Promise<Figure[]> {
  const server = await BenchServer.start();
  const client = await server.connect("coordinator");
  try {
    const blobs = await FileBlobStore.open(join(server.folder, "blobs"));
    const names = { prefix: "bench", farm: "bench" };
    const parts = { client, names, clock: systemClock, log: silentLog };
    const lease = await NatsLease.take({ ...parts, holder: "bench" });
    if (!(lease instanceof NatsLease)) throw new Error("the lease of a new server is taken");
    const onNats = await JetStreamJournal.open({ ...parts, blobs, lease });
    const figures = await figuresOf("JetStream", onNats);
    const reopening = await NatsLease.take({ ...parts, holder: "bench" });
    if (!(reopening instanceof NatsLease)) throw new Error("the lease was not given back");
    const again = await JetStreamJournal.open({ ...parts, blobs, lease: reopening });
    const startMs = performance.now();
    let count = 0;
    for await (const _ of again.read(null)) count += 1;
    const ms = performance.now() - startMs;
    figures.push(noted("records read a second, JetStream", (count / ms) * 1000, "/s"));
    await again.close();
    mkdirSync(join(server.folder, "files"));
    const onFiles = await FileJournal.open(join(server.folder, "files", "journal"));
    return [...figures, ...(await figuresOf("files", onFiles))];
  } finally {
    await client.close();
    await server.stop();
  }
}

async function figuresOf(name: string, journal: Journal): Promise<Figure[]> {
  for await (const _ of journal.read(null)) throw new Error("a new journal has a record");
  const alone = await perSecond(ALONE, 1, journal);
  const together = await perSecond(TOGETHER, AT_ONCE, journal);
  await journal.close();
  return [
    noted(`appends a second, ${name}, one after the other`, alone, "/s"),
    noted(`appends a second, ${name}, ${AT_ONCE} at once`, together, "/s"),
  ];
}

async function perSecond(count: number, atOnce: number, journal: Journal): Promise<number> {
  const startMs = performance.now();
  let left = count;
  const appendAll = async () => {
    while (left > 0) {
      left -= 1;
      await journal.append([RECORD]);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, appendAll));
  return (count / (performance.now() - startMs)) * 1000;
}
