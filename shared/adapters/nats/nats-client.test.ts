import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { natsServerPath, TestNatsServer } from "../../../test/servers/nats-server.js";

describe.runIf(natsServerPath)("with a real server", () => {
  let server: TestNatsServer;
  beforeAll(async () => {
    server = await TestNatsServer.start();
  });
  afterAll(() => server.close());

  test("connects", async () => {
    const c = await server.connect("node");
    expect(c.payloadBytesMax).toBe(8_388_608);
    await c.close();
  });
});
