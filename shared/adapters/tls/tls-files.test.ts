import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Log } from "../../ports/log.js";
import { ManualClock } from "../clock/manual-clock.js";
import { AuthorityFolder, type Issued } from "./authority-folder.js";
import { loadTls, TlsFiles, type TlsPaths } from "./tls-files.js";

const HOUR_MS = 3_600_000;
const START_MS = Date.now();

let folder: string;
let certs: AuthorityFolder;
let node: Issued;
let clock: ManualClock;
let said: string[];
const log: Log = { info: (text) => said.push(text), warn: (text) => said.push(text) };
/** What the wall clock is ahead of the other. */
let aheadMs: number;
const wallMs = () => START_MS + aheadMs + clock.nowMs();

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "farm-tls-"));
  clock = new ManualClock();
  said = [];
  aheadMs = 0;
  const root = { farm: "test", lifeMs: 100 * HOUR_MS, nowMs: wallMs };
  certs = await AuthorityFolder.create(join(folder, "certs"), root);
  node = await certs.issue({ role: "node", name: "a" }, { lifeMs: 10 * HOUR_MS });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe("files are refused", () => {
  const cases: [name: string, change: () => Promise<TlsPaths> | TlsPaths, says: RegExp][] = [
    [
      "whose key everyone may read",
      () => {
        chmodSync(node.paths.key, 0o644);
        return node.paths;
      },
      /--tls-key: everyone on this machine may read .*; chmod 600 it/,
    ],
    ["that are not there", () => ({ ...node.paths, cert: "/none.pem" }), /--tls-cert: .*ENOENT/],
    [
      "whose key is another's",
      async () => {
        const other = await certs.issue({ role: "node", name: "b" }, { lifeMs: HOUR_MS });
        return { ...node.paths, key: other.paths.key };
      },
      /is not the key of the certificate/,
    ],
    [
      "that another root issued",
      async () => {
        const root = { farm: "test", lifeMs: HOUR_MS, nowMs: wallMs };
        const other = await AuthorityFolder.create(join(folder, "other"), root);
        return { ...node.paths, ca: other.caPath };
      },
      /no root in .* issued the certificate/,
    ],
    [
      "of another role",
      async () => {
        const user = await certs.issue({ role: "user", name: "a" }, { lifeMs: HOUR_MS });
        return user.paths;
      },
      /is for a user, and here a node's is needed/,
    ],
    [
      "that hold no certificate",
      () => {
        writeFileSync(
          node.paths.cert,
          "-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n",
        );
        return node.paths;
      },
      /holds no certificate in PEM/,
    ],
    [
      "that hold no key",
      () => {
        writeFileSync(node.paths.key, "no\n", { mode: 0o600 });
        return node.paths;
      },
      /holds no private key in PEM/,
    ],
  ];
  test.each(cases)("%s", async (_name, change, says) => {
    const paths = await change();
    expect(() => loadTls(paths, "node", wallMs())).toThrow(says);
  });

  test("that have ended", () => {
    expect(() => loadTls(node.paths, "node", START_MS + 11 * HOUR_MS)).toThrow(
      /ended at .*; renew it: renderfarm certs rotate/,
    );
  });
});

describe("while a process runs", () => {
  let files: TlsFiles;
  let heard: string[];
  beforeEach(() => {
    files = new TlsFiles(node.paths, { role: "node", clock, wallMs, log });
    heard = [];
    files.onChange(({ cert }) => heard.push(cert));
  });
  afterEach(() => files.close());

  test("a new certificate is taken within a second", async () => {
    clock.advance(1_000);
    expect(heard).toEqual([]);
    await certs.issue({ role: "node", name: "a" }, { lifeMs: 20 * HOUR_MS });
    clock.advance(1_000);
    expect(heard).toEqual([readFileSync(node.paths.cert, "utf8")]);
    expect(files.current.cert).toBe(heard[0]);
    expect(said).toEqual([expect.stringMatching(/^took a new certificate, good until /)]);
  });

  test("half of a new pair changes nothing, until the other half is there", async () => {
    const before = files.current;
    const oldKey = readFileSync(node.paths.key);
    await certs.issue({ role: "node", name: "a" }, { lifeMs: 20 * HOUR_MS });
    const newKey = readFileSync(node.paths.key);
    writeFileSync(node.paths.key, oldKey);
    clock.advance(3_000);
    expect(files.current).toBe(before);
    expect(said).toEqual([expect.stringMatching(/^the certificate stays what it was: /)]);
    writeFileSync(node.paths.key, newKey);
    clock.advance(1_000);
    expect(heard).toHaveLength(1);
  });

  test("the last fifth of a certificate's life is said once", () => {
    const lifeMs = node.endsAtMs - node.startsAtMs;
    aheadMs = lifeMs * 0.7;
    clock.advance(2_000);
    expect(said).toEqual([]);
    aheadMs = lifeMs * 0.85;
    clock.advance(2_000);
    expect(said).toEqual([expect.stringMatching(/^the certificate ends at .*; renew it/)]);
  });
});

describe("a change of roots", () => {
  test("needs no order: who knows either root trusts certificates of both", async () => {
    const oldCa = readFileSync(certs.caPath, "utf8");
    const oldCert = readFileSync(node.paths.cert, "utf8");
    const oldKey = readFileSync(node.paths.key, "utf8");
    await certs.replaceRoot(100 * HOUR_MS);
    await certs.renewAll({ lifeMs: HOUR_MS });
    const place = (name: string, text: string) => {
      writeFileSync(join(folder, name), text, { mode: 0o600 });
      return join(folder, name);
    };
    const newer = node.paths;
    const older = {
      ca: place("ca", oldCa),
      cert: place("cert", oldCert),
      key: place("key", oldKey),
    };
    for (const ca of [newer.ca, older.ca]) {
      for (const { cert, key } of [newer, older]) {
        expect(loadTls({ ca, cert, key }, "node", wallMs()).identity.name).toBe("a");
      }
    }
    certs.dropOldRoot();
    expect(() => loadTls({ ...older, ca: newer.ca }, "node", wallMs())).toThrow(/no root/);
  });

  test("ends before the next one begins", async () => {
    await certs.replaceRoot(HOUR_MS);
    await expect(certs.replaceRoot(HOUR_MS)).rejects.toThrow(/--drop-old-root first/);
  });
});
