/**
 * Every call of every service, made with everything that must not be enough. The calls come from the
 * proto files: one that nobody has given a row in the table of scopes fails here.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type MethodDefinition, status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { RULES } from "../../coordinator/access/scopes.js";
import { JobServiceService } from "../../proto/gen/renderfarm/v1/job_service.js";
import { NodeServiceService } from "../../proto/gen/renderfarm/v1/node_service.js";
import { newApiKey } from "../../shared/access/api-key.js";
import { SCOPES, type Scope } from "../../shared/access/scopes.js";
import type { Issued } from "../../shared/adapters/tls/authority-folder.js";
import { AuthorityFolder } from "../../shared/adapters/tls/authority-folder.js";
import { DoorWorld, type Shows } from "./door-world.js";

type Method = MethodDefinition<unknown, unknown>;
const methodsOf = (service: object) => Object.values(service) as Method[];
const METHODS = [...methodsOf(JobServiceService), ...methodsOf(NodeServiceService)];
const USER_METHODS = METHODS.filter(({ path }) => RULES.get(path)?.who === "user");
const NODE_METHODS = METHODS.filter(({ path }) => RULES.get(path)?.who === "node");
const named = (methods: readonly Method[]) =>
  methods.map((method) => [method.path.split("/").at(-1)!, method] as const);

/** The request with every field at its default. */
const emptyRequest = (method: Method): unknown => method.requestDeserialize(Buffer.alloc(0));

let world: DoorWorld;
let aNode: Issued;
let otherFarmsNode: Issued;
let aUser: Issued;

beforeAll(async () => {
  world = await DoorWorld.open();
  aNode = await world.issue("node", "node-a");
  aUser = await world.issue("user", "alice");
  const root = { farm: "test", lifeMs: 3_600_000, nowMs: Date.now };
  const other = await AuthorityFolder.create(join(world.folder, "other"), root);
  otherFarmsNode = await other.issue({ role: "node", name: "node-a" }, { lifeMs: 3_600_000 });
});
afterAll(() => world?.stop());

/** Calls as somebody, and tells the status; what it changed is in the audit log either way. */
async function refusal(method: Method, shows: Shows): Promise<string> {
  world.look();
  const before = (await world.audited()).length;
  const { code, messages } = await world.call(method, emptyRequest(method), shows);
  expect(messages).toEqual([]);
  const rule = RULES.get(method.path);
  const entries = (await world.audited()).slice(before);
  const action = rule?.who === "anyone" ? null : rule?.action;
  expect(entries.map((e) => [e["action"], e["result"]])).toEqual(
    action ? [[action, status[code]]] : [],
  );
  return status[code];
}

test("every call of the proto files has its row in the table of scopes", () => {
  const folder = "proto/renderfarm/v1";
  const declared = readdirSync(folder).flatMap((file) => {
    const text = readFileSync(join(folder, file), "utf8");
    const service = /^service (\w+)/m.exec(text)?.[1];
    return [...text.matchAll(/^ {2}rpc (\w+)\(/gm)].map(
      ([, name]) => `/renderfarm.v1.${service}/${name}`,
    );
  });
  expect(declared.length).toBeGreaterThan(15);
  expect(METHODS.map(({ path }) => path).sort()).toEqual(declared.sort());
  expect(declared.filter((path) => !RULES.has(path))).toEqual([]);
});

describe("a user's call", () => {
  const wrong = () => newApiKey({ owner: "x", scopes: ["admin"], nowMs: 0, expiresAtMs: null });
  const unauthenticated: [name: string, shows: () => Shows][] = [
    ["no key", () => ({})],
    ["what is no key", () => ({ token: "secret" })],
    ["an unknown key", () => ({ token: wrong().token })],
    [
      "a known id with another secret",
      () => {
        const known = world.key("alice", ["admin"]);
        return { token: `${known.slice(0, 16)}${wrong().token.slice(16)}` };
      },
    ],
    [
      "an expired key",
      () => ({ token: world.key("alice", ["admin"], { expiresAtMs: world.wallMs() }) }),
    ],
    [
      "a revoked key",
      () => ({ token: world.key("alice", ["admin"], { revokedAtMs: world.wallMs() }) }),
    ],
    ["a user's certificate without a key", () => ({ certificate: aUser })],
  ];
  describe.each(unauthenticated)("with %s", (_name, shows) => {
    test.each(named(USER_METHODS))("%s: refused", async (_method, method) => {
      expect(await refusal(method, shows())).toBe("UNAUTHENTICATED");
    });
  });

  describe("with every scope but its own", () => {
    test.each(named(USER_METHODS))("%s: refused", async (_name, method) => {
      const rule = RULES.get(method.path);
      const wanted = rule?.who === "user" ? rule.scope : "admin";
      const scopes = SCOPES.filter((scope) => scope !== wanted && scope !== "admin");
      const token = world.key("alice", scopes as Scope[]);
      expect(await refusal(method, { token })).toBe("PERMISSION_DENIED");
    });
  });

  describe("with a key of every scope, from", () => {
    test.each(named(USER_METHODS))("a node's certificate: %s: refused", async (_name, method) => {
      const token = world.key("alice", [...SCOPES]);
      expect(await refusal(method, { token, certificate: aNode })).toBe("PERMISSION_DENIED");
    });
    test.each(named(USER_METHODS))("another's certificate: %s: refused", async (_name, method) => {
      const token = world.key("bob", [...SCOPES]);
      expect(await refusal(method, { token, certificate: aUser })).toBe("PERMISSION_DENIED");
    });
  });
});

describe("a node's call", () => {
  const cases: [name: string, shows: () => Shows, code: string][] = [
    ["nothing", () => ({}), "UNAUTHENTICATED"],
    ["a key of every scope", () => ({ token: world.key("a", [...SCOPES]) }), "UNAUTHENTICATED"],
    ["a user's certificate", () => ({ certificate: aUser }), "PERMISSION_DENIED"],
    [
      "a node's certificate of another root",
      () => ({ certificate: otherFarmsNode }),
      "UNAUTHENTICATED",
    ],
  ];
  describe.each(cases)("with %s", (_name, shows, code) => {
    test.each(named(NODE_METHODS))("%s: refused", async (_method, method) => {
      expect(await refusal(method, shows())).toBe(code);
    });
  });
});
