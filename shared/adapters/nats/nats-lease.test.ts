/**
 * @file How a lease is kept while the servers elect who leads its bucket, and had again by whoever lost
 * it: on a clock of the test.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { natsServerPath, TEST_FARM, TestNatsServer } from "../../../test/servers/nats-server.js";
import { silentLog } from "../../ports/log.js";
import { ManualClock } from "../clock/manual-clock.js";
import type { KV, NatsClient } from "./nats-client.js";
import { NatsLease } from "./nats-lease.js";
import { leaseBucket } from "./nats-names.js";

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

describe.runIf(natsServerPath)(
  "a lease that its holder lost on its own clock, and that still stands",
  () => {
    const LEASE_MS = 60_000;
    let server: TestNatsServer;
    let client: NatsClient;
    let lost: NatsLease;
    beforeAll(async () => {
      server = await TestNatsServer.start();
      client = await server.connect("coordinator");
    });
    afterAll(async () => {
      await client.close();
      await server.close();
    });

    const take = (holder: string, before: NatsLease | null = null, through = client) =>
      NatsLease.take({
        ...{ client: through, names: TEST_FARM, holder, before, leaseMs: LEASE_MS },
        ...{ clock, log: silentLog },
      });

    async function leaseOf(taking: ReturnType<typeof take>): Promise<NatsLease> {
      const taken = await taking;
      if (!(taken instanceof NatsLease)) throw new Error(`held by ${taken.heldBy}`);
      return taken;
    }

    const bucket = (through = client): Promise<KV> =>
      through.jetstream(5_000).views.kv(leaseBucket(TEST_FARM));

    /** As at the end of its time on the server: whoever asks first has it. */
    async function standIn(): Promise<NatsLease> {
      await (await bucket()).delete("leader");
      return leaseOf(take("another"));
    }

    beforeEach(async () => {
      lost = await leaseOf(take("this one"));
      // One renewal has left and is not answered when the holder has to stop.
      clock.advance(LEASE_MS);
      expect(lost.isHeld).toBe(false);
    });
    afterEach(async () => void (await (await bucket()).delete("leader")));

    test("is that holder's again at once, also when a renewal came late, and can be renewed", async () => {
      const again = await leaseOf(take("this one", lost));
      expect(again.isHeld).toBe(true);
      await again.release();
      expect(await take("another")).toBeInstanceOf(NatsLease);
    });

    test("is nobody else's, not even of one by the same name", async () => {
      expect(await take("another")).toEqual({ heldBy: "this one" });
      expect(await take("this one")).toEqual({ heldBy: "this one" });
      expect(await take("another", lost)).toEqual({ heldBy: "this one" });
    });

    test("is not taken back once another has had it", async () => {
      const other = await standIn();
      expect(await take("this one", lost)).toEqual({ heldBy: "another" });
      expect(other.isHeld).toBe(true);
    });

    test("is lost when another start of its process has it, and not taken for a late renewal", async () => {
      await (await bucket()).delete("leader");
      const first = await leaseOf(take("pod-0, process 1, start a"));
      const reason = new Promise<string>((resolve) => {
        first.onLost = resolve;
      });
      await (await bucket()).delete("leader");
      const second = await leaseOf(take("pod-0, process 1, start b"));
      clock.advance(LEASE_MS / 5);
      expect(await reason).toBe("the lease is lost: pod-0, process 1, start b has it");
      expect(second.isHeld).toBe(true);
    });

    test("is not taken from who came between the look and the try", async () => {
      const racing = {
        jetstream: () => ({
          views: {
            kv: async () => {
              const raced = await bucket();
              const get = raced.get.bind(raced);
              raced.get = async (key) => {
                const entry = await get(key);
                raced.get = get;
                await standIn();
                return entry;
              };
              return raced;
            },
          },
        }),
      } as unknown as NatsClient;
      expect(await take("this one", lost, racing)).toEqual({ heldBy: "another" });
    });
  },
);
