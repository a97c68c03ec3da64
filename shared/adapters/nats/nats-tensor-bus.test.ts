import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { natsServerPath, TestNatsServer } from "../../../test/servers/nats-server.js";
import type { Partner } from "../../farm/work.js";
import { tensorBusContract } from "../../ports/tensor-bus.contract.js";
import { ManualClock } from "../clock/manual-clock.js";
import { NatsTensorBus } from "./nats-tensor-bus.js";

describe.runIf(natsServerPath)("NatsTensorBus", () => {
  let server: TestNatsServer;
  let clock: ManualClock;
  let a: NatsTensorBus;
  let b: NatsTensorBus;
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
    return NatsTensorBus.open({ client, prefix: "rf", nodeId, token, clock });
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
});
