/** @file New keys, certificates and roots for NATS while a process runs, on a real server that asks for them. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { makeNatsSecrets, type NatsSecrets } from "../../../test/servers/nats-secrets.js";
import { natsServerPath, TEST_FARM, TestNatsServer } from "../../../test/servers/nats-server.js";
import type { Log } from "../../ports/log.js";
import { ManualClock } from "../clock/manual-clock.js";
import { systemClock } from "../clock/system-clock.js";
import type { UsedCertificate } from "../tls/used-certificate.js";
import { NatsClient } from "./nats-client.js";
import { openNats } from "./open-nats.js";

const SUBJECT = "rf.v1.cfg.node-1.task.1";
const DAY_MS = 86_400_000;

describe.runIf(natsServerPath)("a connection to a nats-server that asks for certificates", () => {
  let server: TestNatsServer;
  let newer: NatsSecrets;
  let folder: string;
  let clock: ManualClock;
  let aheadMs: number;
  let said: string[];
  let told: UsedCertificate[];
  let clients: NatsClient[];
  const log: Log = { info: (text) => said.push(text), warn: (text) => said.push(text) };

  beforeEach(async () => {
    server = await TestNatsServer.start({ asksForCertificates: true });
    newer = await makeNatsSecrets([TEST_FARM]);
    folder = mkdtempSync(join(tmpdir(), "nats-files-"));
    clock = new ManualClock();
    aheadMs = 0;
    said = [];
    told = [];
    clients = [];
    place(server.secrets);
  });
  afterEach(async () => {
    await Promise.all(clients.map((client) => client.close()));
    await server.close();
    rmSync(folder, { recursive: true });
  });

  function write(name: string, text: string): void {
    writeFileSync(join(folder, name), text, { mode: 0o600 });
  }

  function place({ client, seeds }: NatsSecrets, roots = server.ca): void {
    write("ca.pem", roots);
    write("cert.pem", client.certificate);
    write("key.pem", client.key);
    write("node.nk", seeds.get("node")!);
  }

  async function open(): Promise<NatsClient> {
    const files = `ca=${folder}/ca.pem&cert=${folder}/cert.pem&key=${folder}/key.pem`;
    const { client } = await openNats(
      `nats://${server.address}/test?${files}`,
      { role: "node", name: "node-1" },
      {
        ...{ flag: "--bus", clock, log, wallMs: () => Date.now() + aheadMs },
        env: { RENDERFARM_NATS_NKEY_SEED_FILE: join(folder, "node.nk") },
        onCertificate: (certificate) => told.push(certificate),
      },
    );
    clients.push(client);
    return client;
  }

  /** Resolves when the client is connected again; what dials is on the real clock. */
  const again = (client: NatsClient) => new Promise<void>((resolve) => void client.onUp(resolve));

  /** A message to itself and back. */
  async function speaks(client: NatsClient): Promise<void> {
    const heard = new Promise<string>((resolve) => {
      client.subscribe(SUBJECT, ({ data }) => resolve(Buffer.from(data).toString()));
    });
    client.publish(SUBJECT, { payload: Buffer.from("a half") });
    expect(await heard).toBe("a half");
  }

  test("new roots, certificate and key are used by the connection that follows; subscriptions stay", async () => {
    const client = await open();
    const heard: string[] = [];
    client.subscribe("rf.v1.cfg.node-1.task.2", ({ data }) => {
      heard.push(Buffer.from(data).toString());
    });
    await server.changeSecrets(server.secrets, [server.secrets, newer]);
    place(newer, server.ca + newer.ca);
    clock.advance(1_000);
    expect(said).toEqual(["took new files for NATS; connections that follow use them"]);
    await speaks(client);
    const isBack = again(client);
    // Who is still connected with the older key is cut off now.
    await server.changeSecrets(newer, [newer]);
    await isBack;
    await speaks(client);
    client.publish("rf.v1.cfg.node-1.task.2", { payload: Buffer.from("later") });
    await client.flush();
    expect(heard).toEqual(["later"]);
  });

  test("without new files it stays cut off, and is back with them", async () => {
    const client = await open();
    const isBack = again(client);
    await server.changeSecrets(newer, [newer]);
    await vi.waitFor(() => expect(client.isUp).toBe(false));
    place(newer, newer.ca);
    clock.advance(1_000);
    await isBack;
    await speaks(client);
  });

  test("half of a new pair changes nothing, until the other half is there", async () => {
    const client = await open();
    await server.changeSecrets(server.secrets, [server.secrets, newer]);
    write("cert.pem", newer.client.certificate);
    clock.advance(3_000);
    expect(said).toEqual([
      "NATS is shown and trusted by what was in its files before: [invalid-argument] --bus key= is not the key of the certificate",
    ]);
    const isBack = again(client);
    await server.kill();
    await server.run();
    await isBack;
    await speaks(client);
  });

  test("the end of each certificate is told, and warned of in its last fifth", async () => {
    await open();
    expect(told.map(({ use }) => use)).toEqual(["nats-roots", "nats"]);
    const { endsAtMs, startsAtMs } = told[1]!;
    expect(endsAtMs - startsAtMs).toBe(3 * DAY_MS);
    aheadMs = 0.9 * DAY_MS;
    clock.advance(2_000);
    expect(said).toEqual([
      expect.stringMatching(/^the certificate "nats-roots" ends at .*; put a newer one/),
      expect.stringMatching(/^the certificate "nats" ends at .*; put a newer one into its file$/),
    ]);
    place(newer, newer.ca);
    clock.advance(1_000);
    expect(told.map(({ use }) => use)).toEqual(["nats-roots", "nats", "nats-roots", "nats"]);
  });

  test("a certificate that has ended is refused at the start, and never taken later", async () => {
    const { certificate, key } = server.secrets.endedClient;
    const client = await open();
    write("cert.pem", certificate);
    write("key.pem", key);
    clock.advance(1_000);
    expect(said).toEqual([expect.stringMatching(/--bus cert= ended at \d{4}-.*; put a newer one/)]);
    await speaks(client);
    await expect(open()).rejects.toThrow(/\[invalid-argument\] --bus cert= ended at \d{4}-/);
  });

  describe("one that ends while the process runs is named by", () => {
    const ended = () => {
      const { certificate: cert, key } = server.secrets.endedClient;
      return { ...server.settings("node"), tls: { ca: server.ca, cert, key } };
    };

    test("whoever cannot connect with it", async () => {
      const options = { clock: systemClock, log, connectMs: 500 };
      await expect(NatsClient.connect(ended(), options)).rejects.toThrow(
        /\[unreachable\] no NATS server .*; the certificate that is shown to it \(cert=\) ended at /,
      );
    });

    test("whoever loses the connection", async () => {
      const client = await open();
      client.renew(ended());
      await server.kill();
      await vi.waitFor(() =>
        expect(said).toEqual([
          expect.stringMatching(/is gone; dialling again; the certificate .* ended at /),
        ]),
      );
    });
  });
});
