/** @file How a lease is kept while the servers elect who leads its bucket: on a clock of the test. */
import { beforeEach, expect, test } from "vitest";
import { ManualClock } from "../clock/manual-clock.js";
import type { NatsClient } from "./nats-client.js";
import { NatsLease } from "./nats-lease.js";

/** A key of a bucket that nobody leads while the test says so. */
class ElectedBucket {
  isElecting = false;
  revision = 1;

  async create(): Promise<number> {
    return this.revision;
  }
  /** As a server refuses for want of a leader: at once. */
  async update(_key: string, _value: string, revision: number): Promise<number> {
    if (this.isElecting) throw new Error("503");
    expect(revision).toBe(this.revision);
    this.revision += 1;
    return this.revision;
  }
}

let clock: ManualClock;
let bucket: ElectedBucket;
let lease: NatsLease;
let said: string[];
let lost: string[];

beforeEach(async () => {
  clock = new ManualClock();
  bucket = new ElectedBucket();
  said = [];
  lost = [];
  const views = { kv: async () => bucket };
  const client = { jetstream: () => ({ views }) } as unknown as NatsClient;
  const say = (text: string) => void said.push(text);
  const names = { prefix: "rf", farm: "test" };
  const log = { info: say, warn: say };
  const taken = await NatsLease.take({ client, names, holder: "this one", clock, log });
  if (!(taken instanceof NatsLease)) throw new Error("the lease was not free");
  lease = taken;
  lease.onLost = (reason) => lost.push(reason);
});

/** In steps short enough that every renewal is answered before the next is due. */
async function pass(ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 50) {
    clock.advance(50);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test("an election that ends just before the lease does costs no leadership", async () => {
  bucket.isElecting = true;
  await pass(7_600);
  bucket.isElecting = false;
  await pass(10_000);
  expect(lost).toEqual([]);
  expect(lease.isHeld).toBe(true);
  expect(said).toEqual(["the lease was not renewed: 503", "the lease is renewed again"]);
});

test("one that outlasts it ends it, before anybody else may lead", async () => {
  bucket.isElecting = true;
  await pass(8_000);
  expect(lost).toEqual(["the lease is lost: it could not be renewed for 8000 ms"]);
  expect(lease.isHeld).toBe(false);
});

test("in quiet times it is renewed five times in its time", async () => {
  await pass(10_000);
  expect(bucket.revision).toBe(1 + 5);
});
