/** What starts and what does not: beyond loopback nothing does without TLS and keys. */
import { describe, expect, test } from "vitest";
import { readSettings as readCoordinator } from "../../coordinator/settings.js";
import { readSettings as readNode } from "../../gpu-node/agent/settings.js";
import type { FarmError } from "../../shared/core/errors.js";

const TLS = ["--tls-ca", "ca.pem", "--tls-cert", "cert.pem", "--tls-key", "key.pem"];
const KEYS = ["--api-keys", "keys.json"];
const LOOPBACK = ["127.0.0.1:7433", "localhost:7433", "[::1]:7433"];
const BEYOND = ["0.0.0.0:7433", "[::]:7433", "10.0.0.1:7433", "farm.example:7433"];

/** Fields that are refused. */
function refused(read: () => unknown): string[] {
  try {
    read();
    return [];
  } catch (error) {
    return (error as FarmError).violations.map(({ field }) => field);
  }
}

const coordinator = (flags: readonly string[]) =>
  refused(() => readCoordinator(["--data", "/d", ...flags], {}));
const node = (flags: readonly string[]) => {
  const needed = ["--checkpoint", "/m", "--blob-dir", "/b"];
  return refused(() => readNode([...needed, ...flags], {}));
};

describe("a coordinator", () => {
  test.each(LOOPBACK)("on %s: without and with TLS and keys", (listen) => {
    expect(coordinator(["--listen", listen])).toEqual([]);
    expect(coordinator(["--listen", listen, ...TLS, ...KEYS])).toEqual([]);
  });

  test.each(BEYOND)("on %s: with TLS and keys only", (listen) => {
    expect(coordinator(["--listen", listen, ...TLS, ...KEYS])).toEqual([]);
    expect(coordinator(["--listen", listen])).toEqual(["--listen"]);
    expect(coordinator(["--listen", listen, ...TLS])).toEqual(["--api-keys", "--listen"]);
    expect(coordinator(["--listen", listen, ...KEYS])).toEqual(["--tls-cert", "--listen"]);
  });

  test("with TLS or keys alone: not even on loopback", () => {
    expect(coordinator(TLS)).toEqual(["--api-keys"]);
    expect(coordinator(KEYS)).toEqual(["--tls-cert"]);
  });

  test.each([0, 2, 4])("without the pair of flags at %i", (at) => {
    const flags = TLS.toSpliced(at, 2);
    expect(coordinator([...flags, ...KEYS])).toContain(TLS[at]);
  });

  test.each(BEYOND)("measured on %s: with TLS and keys only", (metrics) => {
    expect(coordinator(["--metrics", metrics])).toContain("--metrics");
    expect(coordinator(["--metrics", metrics, ...TLS, ...KEYS])).toEqual([]);
  });

  test("keeps its audit log with its data unless told otherwise", () => {
    const settings = (flags: string[]) => readCoordinator(["--data", "/d", ...flags], {})?.access;
    expect(settings([])).toBeNull();
    expect(settings([...TLS, ...KEYS])?.audit).toBe("/d/audit.jsonl");
    expect(settings([...TLS, ...KEYS, "--audit", "/log"])?.audit).toBe("/log");
  });
});

describe("a node", () => {
  const here = ["--coordinator", "127.0.0.1:7433"];

  test.each(BEYOND)("with a bus on %s: with TLS only", (address) => {
    expect(node([...here, "--bus-listen", address])).toEqual(["--bus-listen"]);
    expect(node([...here, "--bus-listen", address, ...TLS])).toEqual([]);
  });

  test.each(BEYOND)("of a coordinator on %s: with TLS only", (address) => {
    expect(node(["--coordinator", address])).toEqual(["--coordinator"]);
    expect(node(["--coordinator", address, ...TLS])).toEqual([]);
  });

  test("of several coordinators, one of them beyond loopback", () => {
    const several = "127.0.0.1:7433,10.0.0.1:7433";
    expect(node(["--coordinator", several])).toEqual(["--coordinator"]);
    expect(node(["--coordinator", several, ...TLS])).toEqual([]);
  });

  test.each([0, 2, 4])("without the pair of flags at %i", (at) => {
    expect(node([...here, ...TLS.toSpliced(at, 2)])).toEqual([TLS[at]]);
  });
});
