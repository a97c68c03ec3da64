import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { natsServerPath, TestNatsServer } from "../../../test/servers/nats-server.js";
import type { Partner } from "../../farm/work.js";
import { ChannelEnd, frameOf, tensorBusContract } from "../../ports/tensor-bus.contract.js";
import { ManualClock } from "../clock/manual-clock.js";
import { encodeBusMessage } from "./bus-message.js";
import type { NatsClient } from "./nats-client.js";
import { NatsTensorBus } from "./nats-tensor-bus.js";

describe.runIf(natsServerPath)("NatsTensorBus", () => {
  let server: TestNatsServer;
  let clock: ManualClock;
  let a: NatsTensorBus;
  let b: NatsTensorBus;
  const clients = new Map<NatsTensorBus, NatsClient>();
  beforeAll(async () => {
    server = await TestNatsServer.start();
  });
  afterAll(() => server.close());
  beforeEach(async () => {
    clock = new ManualClock();
    a = await open("a");
    b = await open("b");
  });
  afterEach(() => Promise.all([a.close(), b.close()]));

  async function open(nodeId: string): Promise<NatsTensorBus> {
    const client = await server.connect("node");
    const token = `token of ${nodeId}`;
    const bus = await NatsTensorBus.open({ client, prefix: "rf", nodeId, token, clock });
    clients.set(bus, client);
    return bus;
  }
  const partnerOf = (bus: NatsTensorBus, nodeId: string): Partner => ({
    nodeId,
    busAddress: bus.address,
    busToken: bus.token,
  });
  const sideA = () => ({ bus: a, partner: partnerOf(b, "b") });
  const sideB = () => ({ bus: b, partner: partnerOf(a, "a") });

  test.each(tensorBusContract)("%s", async (_name, check) => {
    await check({ a: sideA(), b: sideB(), settle: () => clock.advance(2_000) });
  });

  test("says where it is reached", () => {
    expect(a.address).toBe("nats:rf.v1.cfg.a");
  });

  /** Lets time pass in beats while answers come, until the condition holds. */
  async function beating(condition: () => boolean): Promise<void> {
    while (!condition()) {
      clock.advance(1_000);
      await new Promise((resolve) => setImmediate(resolve));
      // What the server has to say of the beat has come by then.
      await Promise.all(
        [a, b].map((bus) =>
          clients
            .get(bus)!
            .flush()
            .catch(() => {}),
        ),
      );
    }
  }

  test("halves that were sent while the server was away arrive once it is back, in order", async () => {
    const [left, right] = [new ChannelEnd(sideA(), "pair"), new ChannelEnd(sideB(), "pair")];
    send(left, 0);
    await right.until(() => right.frames.length === 1);
    await server.kill();
    for (const step of [1, 2, 3]) send(left, step);
    await server.run();
    send(left, 4);
    await beating(() => right.frames.length === 5);
    expect(right.frames.map(({ header }) => header.step)).toEqual([0, 1, 2, 3, 4]);
    expect(right.lost).toEqual([]);
    expect(a.counts.get("frames_sent_again")).toBeGreaterThan(0);
  });

  test("a partner that is gone is lost, not at once, as it may be dialling again", async () => {
    const [left, right] = [new ChannelEnd(sideA(), "pair"), new ChannelEnd(sideB(), "pair")];
    send(left, 0);
    await right.until(() => right.frames.length === 1);
    await clients.get(b)!.close();
    const startMs = clock.nowMs();
    await beating(() => left.lost.length > 0);
    expect(left.lost).toEqual(["node b is lost: it is not connected to the NATS server"]);
    expect(clock.nowMs() - startMs).toBeGreaterThanOrEqual(3_000);
  });

  test("a partner whose bus is a socket is lost", async () => {
    const partner = { ...partnerOf(b, "b"), busAddress: "127.0.0.1:7000" };
    const left = new ChannelEnd({ bus: a, partner }, "pair");
    clock.advance(0);
    await left.until(() => left.lost.length > 0);
    expect(left.lost[0]).toMatch(/its tensor bus 127.0.0.1:7000 is not on NATS/);
  });

  test("who does not know the token is not heard, and counted", async () => {
    const right = new ChannelEnd(sideB(), "pair");
    const stranger = { ...partnerOf(b, "b"), busToken: "a guess" };
    send(new ChannelEnd({ bus: a, partner: stranger }, "pair"), 0);
    const honest = new ChannelEnd({ bus: a, partner: partnerOf(b, "b") }, "other");
    const other = new ChannelEnd(sideB(), "other");
    send(honest, 1);
    await other.until(() => other.frames.length === 1);
    expect(right.frames).toEqual([]);
    expect(b.counts.get("messages_refused_token")).toBeGreaterThan(0);
  });

  test("a half that was damaged on its way is not delivered, and the sound one is", async () => {
    const right = new ChannelEnd(sideB(), "pair");
    const client = clients.get(a)!;
    const { header, payload } = frameOf(0);
    const message = { kind: "frame", sent: 1, got: 0, part: 0, parts: 1, frame: header } as const;
    const headers = encodeBusMessage(message, "pair", b.token);
    client.publish("rf.v1.cfg.b.pair", { headers, payload: payload.map((byte) => byte ^ 1) });
    const left = new ChannelEnd(sideA(), "pair");
    send(left, 0);
    await beating(() => right.frames.length === 1);
    expect(b.counts.get("frames_dropped_checksum")).toBe(1);
    expect(right.frames[0]!.header.shape).toEqual([20_000]);
  });

  test("a server whose messages are too small is refused, with what to do", async () => {
    const small = await TestNatsServer.start({ maxPayload: 32_768 });
    const client = await small.connect("node");
    const parts = { client, prefix: "rf", nodeId: "a", token: "t", clock };
    await expect(NatsTensorBus.open(parts)).rejects.toThrow(
      /\[invalid-argument\] .* messages of 32768 bytes, .* raise max_payload/,
    );
    await client.close();
    await small.close();
  });
});

function send(end: ChannelEnd, step: number): void {
  const { header, payload } = frameOf(step, 20_000);
  end.channel.send(header, payload);
}
