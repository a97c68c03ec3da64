/** @file A real server's users: each may do its own work, and nothing else. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { natsServerPath, TEST_FARM, TestNatsServer } from "../../../test/servers/nats-server.js";
import { silentLog } from "../../ports/log.js";
import { ManualClock } from "../clock/manual-clock.js";
import { systemClock } from "../clock/system-clock.js";
import { NatsClient } from "./nats-client.js";
import { type NatsRole, rolePermissions } from "./nats-names.js";

const ROLES: readonly NatsRole[] = ["coordinator", "node", "observer"];
const STREAM = "RF_JOURNAL_test";
const BUCKET = "KV_RF_LEASE_test";

/** What somebody may want to do to a farm, whoever he is. */
const PUBLISHED: readonly string[] = [
  "rf.v1.journal.test",
  "rf.v1.cfg.node-1.task.1",
  "rf.v1.evt.job.1",
  "$KV.RF_LEASE_test.leader",
  "$KV.RF_LEASE_test.other",
  "$KV.RF_LEASE_other.leader",
  "rf.v1.journal.other",
  "other.v1.cfg.node-1.task.1",
  "$SYS.REQ.SERVER.PING",
  "_INBOX_coordinator.x",
  "_INBOX_node.x",
  "$JS.API.INFO",
  "$JS.API.STREAM.NAMES",
  "$JS.API.STREAM.LIST",
  ...["INFO", "CREATE", "UPDATE", "DELETE", "PURGE", "MSG.GET", "MSG.DELETE", "SNAPSHOT"].flatMap(
    (verb) => [STREAM, BUCKET, "RF_JOURNAL_other"].map((name) => `$JS.API.STREAM.${verb}.${name}`),
  ),
  `$JS.API.STREAM.RESTORE.${STREAM}`,
  `$JS.API.CONSUMER.CREATE.${STREAM}.c`,
  `$JS.API.CONSUMER.CREATE.${BUCKET}.c`,
  `$JS.API.CONSUMER.MSG.NEXT.${STREAM}.c`,
  `$JS.API.CONSUMER.DURABLE.CREATE.${STREAM}.c`,
  `$JS.API.DIRECT.GET.${STREAM}`,
];
const SUBSCRIBED: readonly string[] = [
  ">",
  "rf.>",
  "rf.v1.cfg.>",
  "rf.v1.cfg.node-1.>",
  "rf.v1.journal.test",
  "rf.v1.journal.>",
  "$KV.RF_LEASE_test.leader",
  "$JS.API.>",
  "$SYS.>",
  ...ROLES.map((role) => `_INBOX_${role}.>`),
  "_INBOX.>",
];

/** Whether an allow-list has the subject; in ours ">" is the only wildcard. */
function allows(list: readonly string[], subject: string): boolean {
  return list.some((allowed) =>
    allowed.endsWith(">") ? subject.startsWith(allowed.slice(0, -1)) : subject === allowed,
  );
}

describe.runIf(natsServerPath)("a nats-server with a user for each role", () => {
  let server: TestNatsServer;
  /** Of somebody else. */
  let other: TestNatsServer;
  beforeAll(async () => {
    [server, other] = await Promise.all([TestNatsServer.start(), TestNatsServer.start()]);
  });
  afterAll(() => Promise.all([server.close(), other.close()]));

  /** What the server refuses of all that is tried; it says so in order, before it answers a flush. */
  async function refusalsOf(role: NatsRole): Promise<Set<string>> {
    const said: string[] = [];
    const log = { info: () => {}, warn: (text: string) => void said.push(text) };
    const client = await server.connect(role, log);
    for (const subject of SUBSCRIBED) client.subscribe(subject, () => {});
    for (const subject of PUBLISHED) client.publish(subject, { payload: new Uint8Array(1) });
    await client.flush();
    await client.close();
    const refused = said.flatMap((text) => /refuses the (.*)$/.exec(text)?.[1] ?? []);
    return new Set(refused);
  }

  test.each(ROLES)("%s: all that is not its own is refused", async (role) => {
    const refused = await refusalsOf(role);
    const { publish, subscribe } = rolePermissions(role, TEST_FARM);
    const expected = [
      ...SUBSCRIBED.filter((s) => !allows(subscribe, s)).map((s) => `subscription "${s}"`),
      ...PUBLISHED.filter((s) => !allows(publish, s)).map((s) => `publish "${s}"`),
    ];
    expect(expected.length).toBeGreaterThan(30);
    expect(expected.filter((each) => !refused.has(each))).toEqual([]);
  });

  test.each(ROLES)("%s has no right to all of JetStream, and none of another farm", (role) => {
    const { publish, subscribe } = rolePermissions(role, TEST_FARM);
    const wide = [...publish, ...subscribe].filter((s) =>
      /^(>|\$JS\.>|\$JS\.API\.>|\$KV\.>)/.test(s),
    );
    expect(wide).toEqual([]);
    expect(allows(publish, "rf.v1.journal.other")).toBe(false);
  });

  const options = { clock: systemClock, log: silentLog };

  test("a key that the server does not know is an error that names the role", async () => {
    const settings = { ...server.settings("node"), seed: other.seedOf("node") };
    await expect(NatsClient.connect(settings, options)).rejects.toThrow(
      /\[invalid-argument\] the NATS server at .* refuses the key of the role node/,
    );
  });

  test("nobody gets in without a key", async () => {
    const settings = { ...server.settings("node"), seed: null };
    await expect(NatsClient.connect(settings, options)).rejects.toThrow(/refuses the key/);
  });

  test("a server whose certificate another root has signed is not spoken to", async () => {
    const settings = { ...server.settings("node"), tls: { ca: other.ca } };
    await expect(NatsClient.connect(settings, { ...options, connectMs: 500 })).rejects.toThrow(
      /\[unreachable\] no NATS server .* certificate/,
    );
  });

  test("a server that does not answer is an error with the address, at the deadline", async () => {
    const clock = new ManualClock();
    const settings = { ...server.settings("node"), servers: ["127.0.0.1:1"] };
    const connecting = NatsClient.connect(settings, { clock, log: silentLog, connectMs: 0 });
    await expect(connecting).rejects.toThrow(
      /\[unreachable\] no NATS server at 127.0.0.1:1 within 0 ms: .*CONNECTION_REFUSED/,
    );
  });
});
