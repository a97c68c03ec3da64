import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { Agent, request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Counter, Registry } from "prom-client";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { AuthorityFolder } from "../tls/authority-folder.js";
import type { TlsPaths } from "../tls/tls-files.js";
import { type MetricsServer, startMetricsServer } from "./metrics-server.js";

const registry = new Registry();
const facts = {
  versions: { version: "1.2.3", node: "v20" },
  config: { listen: "0.0.0.0:1", journal: "nats://me:geheim@host:4222/main" },
  checks: () => ({}),
};
new Counter({ name: "a_total", help: "An example.", registers: [registry] }).inc(3);

describe("on loopback", () => {
  let server: MetricsServer;
  let reason: string | null = "opening";
  beforeAll(async () => {
    const listen = "127.0.0.1:0";
    const checks = () => ({ pace: null, model: reason });
    server = await startMetricsServer({ ...facts, listen, registry, checks, tls: null });
  });
  afterAll(() => server.close());
  const get = async (path: string, method = "GET") => {
    const answer = await fetch(`http://${server.address}${path}`, { method });
    return [answer.status, (await answer.text()).split("\n").find((l) => !l.startsWith("#"))];
  };

  test.each([
    ["/metrics", 200, "a_total 3"],
    ["/healthz", 200, "ok"],
    ["/readyz", 503, "opening"],
    ["/", 404, "there are /metrics, /healthz, /readyz, /version, /debug/config"],
    ["/metrics/../etc", 404, "there are /metrics, /healthz, /readyz, /version, /debug/config"],
  ])("GET %s is %d", async (path, status, text) => {
    expect(await get(path)).toEqual([status, text]);
  });

  test("who asks for more of /readyz hears every check by name", async () => {
    const answer = await fetch(`http://${server.address}/readyz?verbose`);
    expect(answer.status).toBe(503);
    const checks = { pace: "ok", model: "opening" };
    expect(await answer.json()).toEqual({ status: "not ready", checks });
  });

  test("it tells what runs, and with which settings, without their secrets", async () => {
    const json = async (path: string) => (await fetch(`http://${server.address}${path}`)).json();
    expect(await json("/version")).toEqual(facts.versions);
    expect(await json("/debug/config")).toEqual({
      ...{ listen: "0.0.0.0:1", journal: "nats://me:[hidden]@host:4222/main" },
    });
  });

  test("nothing can be sent", async () => {
    expect((await get("/metrics", "POST"))[0]).toBe(405);
  });

  test("it is ready once the process says so", async () => {
    reason = null;
    expect(await get("/readyz")).toEqual([200, "ready"]);
  });

  test("an address that is taken is named", async () => {
    const listen = server.address;
    const second = startMetricsServer({ ...facts, listen, registry, tls: null });
    await expect(second).rejects.toThrow(`--metrics: cannot listen on ${listen}`);
  });
});

describe("over TLS", () => {
  let folder = "";
  let server: MetricsServer;
  let ours: TlsPaths;
  let theirs: TlsPaths;
  const day = { lifeMs: 86_400_000 };

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "metrics-"));
    const rootLife = { farm: "renderfarm", nowMs: Date.now, ...day };
    const authority = await AuthorityFolder.create(join(folder, "ours"), rootLife);
    const hosts = ["127.0.0.1"];
    const own = await authority.issue({ role: "coordinator", name: "" }, { ...day, hosts });
    ours = (await authority.issue({ role: "user", name: "prometheus" }, day)).paths;
    const other = await AuthorityFolder.create(join(folder, "theirs"), rootLife);
    theirs = (await other.issue({ role: "user", name: "prometheus" }, day)).paths;
    server = await startMetricsServer({
      listen: "127.0.0.1:0",
      registry,
      ...facts,
      tls: read(own.paths),
    });
  });
  afterAll(async () => {
    await server.close();
    rmSync(folder, { recursive: true });
  });

  const read = ({ ca, cert, key }: TlsPaths) => ({
    ca: readFileSync(ca, "utf8"),
    cert: readFileSync(cert, "utf8"),
    key: readFileSync(key, "utf8"),
  });
  const statusOf = (path: string, agent: Agent): Promise<number> =>
    new Promise((resolve, reject) => {
      const asked = request(`https://${server.address}${path}`, { agent }, (answer) => {
        answer.resume().on("end", () => resolve(answer.statusCode ?? 0));
      });
      asked.once("error", reject).end();
    });
  const agentOf = (shown: TlsPaths | null, options = {}) => {
    const { ca, ...pair } = read(shown ?? ours);
    const agent = new Agent({ ca: [ca, read(ours).ca], ...(shown ? pair : {}), ...options });
    onTestFinished(() => agent.destroy());
    return agent;
  };

  test("a certificate of the farm is shown the metrics", async () => {
    expect(await statusOf("/metrics", agentOf(ours))).toBe(200);
  });

  test.each([
    ["none", () => null],
    ["one of another root", () => theirs],
  ])("with %s there is readiness, and neither metrics nor settings", async (_name, paths) => {
    const agent = agentOf(paths());
    expect(await statusOf("/readyz", agent)).toBe(200);
    expect(await statusOf("/metrics", agent)).toBe(403);
    expect(await statusOf("/debug/config", agent)).toBe(403);
  });

  test("a session that is resumed is no certificate", async () => {
    const agent = agentOf(null, { keepAlive: false, maxCachedSessions: 10 });
    for (let i = 0; i < 5; i++) {
      await statusOf("/readyz", agent);
      expect(await statusOf("/metrics", agent)).toBe(403);
    }
  });
});
