import { expect, test } from "vitest";
import type { FarmError } from "../../core/errors.js";
import { parseNatsLocation } from "./nats-location.js";

const SEED = `SU${"A".repeat(56)}`;
const FILES: Record<string, string> = {
  "/ca": "the roots\n",
  "/cert": "a certificate\n",
  "/key": "a key\n",
  "/seed": `${SEED}\n`,
  "/open/key": "a key\n",
  "/open/seed": `${SEED}\n`,
};
const whyNoSecret = (path: string) => (path.startsWith("/open/") ? "everyone may read it" : null);

function parse(url: string, env: Readonly<Record<string, string>> = {}) {
  const readFile = (path: string) => {
    const text = FILES[path];
    if (text === undefined) throw new Error("no such file");
    return text;
  };
  return parseNatsLocation(url, { flag: "--journal", env, readFile, whyNoSecret });
}

test("a server on this machine needs nothing more", () => {
  expect(parse("nats://127.0.0.1:4222")).toEqual({
    names: { prefix: "rf", farm: "farm" },
    connection: { servers: ["127.0.0.1:4222"], seed: null, tls: null },
    replicas: 1,
  });
});

test("a cluster elsewhere is asked over TLS, with the role's key", () => {
  const url =
    "nats://a.example:4222,[fd00::1]:4222/blue?ca=/ca&cert=/cert&key=/key&prefix=studio&replicas=3";
  expect(parse(url, { RENDERFARM_NATS_NKEY_SEED_FILE: "/seed" })).toEqual({
    names: { prefix: "studio", farm: "blue" },
    connection: {
      servers: ["a.example:4222", "[fd00::1]:4222"],
      seed: SEED,
      tls: { ca: "the roots", cert: "a certificate", key: "a key" },
    },
    replicas: 3,
  });
});

test.each([
  ["http://127.0.0.1:4222", /is not nats:\/\/HOST:PORT/],
  ["nats://", /is not nats:\/\/HOST:PORT/],
  ["nats://127.0.0.1", /"127.0.0.1" is not HOST:PORT/],
  ["nats://127.0.0.1:70000", /is not HOST:PORT/],
  ["nats://127.0.0.1:1/My_Farm", /"My_Farm" is not 1 to 32 characters/],
  ["nats://127.0.0.1:1?prefix=a.b", /"a.b" is not 1 to 32 characters/],
  ["nats://127.0.0.1:1?cafile=/ca", /unknown parts: cafile/],
  ["nats://127.0.0.1:1?ca=/none", /"\/none" cannot be read/],
  ["nats://127.0.0.1:1?cert=/cert", /come together/],
  ["nats://127.0.0.1:1?replicas=2", /replicas=2 is not 1, 3 or 5/],
])("%s is refused", (url, message) => {
  expect(() => parse(url)).toThrow(message);
});

test("keys that everyone may read are refused, both at once", () => {
  const url = "nats://a.example:4222?ca=/ca&cert=/cert&key=/open/key";
  const parsing = () => parse(url, { RENDERFARM_NATS_NKEY_SEED_FILE: "/open/seed" });
  expect(parsing).toThrow(/--journal key=: everyone may read it/);
  expect(parsing).toThrow(/RENDERFARM_NATS_NKEY_SEED_FILE: everyone may read it/);
});

test("beyond this machine TLS and a key are needed, and both are said at once", () => {
  try {
    parse("nats://broker.example:4222/farm");
    expect.unreachable();
  } catch (error) {
    const { violations } = error as FarmError;
    expect(violations.map(({ field }) => field)).toEqual([
      "--journal",
      "RENDERFARM_NATS_NKEY_SEED",
    ]);
  }
});

test("a seed that is none is refused", () => {
  const env = { RENDERFARM_NATS_NKEY_SEED: "UABC" };
  expect(() => parse("nats://127.0.0.1:1", env)).toThrow(/no seed of a user's nkey/);
});
