/** @file New keys and roots for an S3 while a process runs: requests that are under way and follow go well. */
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { insist } from "../../../test/farm/insist.js";
import { BUCKET, TestS3Server } from "../../../test/servers/s3-server.js";
import { makeServerTls } from "../../../test/servers/server-tls.js";
import { SOON, serversAtHand } from "../../../test/transport/s3-stores.js";
import type { BlobRef } from "../../ports/blob-store.js";
import type { Log } from "../../ports/log.js";
import { ManualClock } from "../clock/manual-clock.js";
import type { UsedCertificate } from "../tls/used-certificate.js";
import { openS3BlobStore } from "./open-s3.js";
import { S3BlobStore } from "./s3-blob-store.js";
import type { S3KeyPair } from "./s3-location.js";

const WORKERS = 4;
const AN_HOUR_AGO = -3_600_000;
const EVERYTHING = {
  actions: [`Read:${BUCKET}`, `Write:${BUCKET}`, `List:${BUCKET}`],
  policy: policyOf(["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]),
};
const READING = {
  actions: [`Read:${BUCKET}`, `List:${BUCKET}`],
  policy: policyOf(["s3:GetObject"]),
};

function policyOf(actions: readonly string[]): object {
  const allow = (Action: readonly string[], Resource: string) => ({
    ...{ Effect: "Allow", Action, Resource: [`arn:aws:s3:::${Resource}`] },
  });
  const Statement = [allow(actions, `${BUCKET}/*`), allow(["s3:ListBucket"], BUCKET)];
  return { Version: "2012-10-17", Statement };
}

let folder: string;
let clock: ManualClock;
let said: string[];
let told: UsedCertificate[];
let stores: S3BlobStore[];
const log: Log = { info: (text) => said.push(text), warn: (text) => said.push(text) };

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "s3-files-"));
  clock = new ManualClock();
  said = [];
  told = [];
  stores = [];
});
afterEach(() => {
  for (const store of stores) store.close();
  rmSync(folder, { recursive: true });
});

function place(name: string, text: string): void {
  writeFileSync(join(folder, name), text, { mode: 0o600 });
}

function placeKeys({ accessKey, secretKey, sessionToken }: S3KeyPair): void {
  place("access", accessKey);
  place("secret", secretKey);
  place("token", sessionToken ?? "");
}

async function open(endpoint: string, more = ""): Promise<S3BlobStore> {
  const file = (name: string) => join(folder, name);
  const store = await openS3BlobStore(`s3://${BUCKET}/farm?endpoint=${endpoint}${more}`, {
    env: {
      RENDERFARM_S3_ACCESS_KEY_FILE: file("access"),
      RENDERFARM_S3_SECRET_KEY_FILE: file("secret"),
      RENDERFARM_S3_SESSION_TOKEN_FILE: file("token"),
    },
    ...{ log, role: "uses" },
    watching: { clock, log, wallMs: Date.now, onCertificate: (each) => told.push(each) },
  });
  stores.push(store);
  return store;
}

/** Does the same again and again, several at a time, until it is told to stop; then says how often. */
function load(work: (n: number) => Promise<unknown>): { stop(): Promise<number> } {
  let isOver = false;
  let count = 0;
  const worker = async () => {
    while (!isOver) await work(count++);
  };
  const done = Promise.all(Array.from({ length: WORKERS }, worker));
  done.catch(() => {}); // `stop` throws it
  return {
    stop: async () => {
      isOver = true;
      await done;
      return count;
    },
  };
}

describe.each(await serversAtHand())("on %s", (kind) => {
  let server: TestS3Server;
  afterEach(() => server.stop());

  test("new keys sign the next request; no read meanwhile fails", async () => {
    const identities = { older: READING, newer: EVERYTHING };
    server = await TestS3Server.start(kind, { identities });
    placeKeys(server.credentials("newer"));
    const ref = await (await open(`http://${server.address}`)).put("v1/a", Buffer.from("bytes"));
    placeKeys(server.credentials("older"));
    const store = await open(`http://${server.address}`);
    const reads = load(async () => expect(await store.get(ref)).toHaveLength(5));
    await expect(store.put("v1/b", Buffer.from("b"))).rejects.toThrow(/refused the key pair/);
    placeKeys(server.credentials("newer"));
    clock.advance(1_000);
    await store.put("v1/b", Buffer.from("b"));
    expect(await reads.stop()).toBeGreaterThan(0);
    expect(said).toContain("took new files for S3; requests that follow use them");
  });

  test("a server under a new root, under load: what is put and read is whole", async () => {
    const older = await makeServerTls();
    const newer = await makeServerTls();
    server = await TestS3Server.start(kind, { tls: older });
    placeKeys(server.credentials());
    place("ca.pem", older.ca);
    const store = await open(`https://${server.address}`, `&ca=${folder}/ca.pem`);
    const refs: BlobRef[] = [];
    const puts = load(async (n) => {
      const ref = await insist(() => store.put(`v1/${n}`, Buffer.from(`blob ${n}`)));
      refs.push(ref);
      await insist(() => store.get(ref));
    });
    place("ca.pem", older.ca + newer.ca);
    clock.advance(1_000);
    await store.put("v1/both", Buffer.from("both"));
    await server.kill("SIGKILL");
    await server.useTls(newer);
    await server.run();
    place("ca.pem", newer.ca);
    clock.advance(1_000);
    await insist(() => store.put("v1/newer", Buffer.from("newer")));
    await puts.stop();
    for (const ref of refs) await store.get(ref);
    expect(told.map(({ use }) => use)).toEqual(["s3-roots", "s3-roots", "s3-roots"]);
  });
});

describe("what is wrong with a certificate is said by", () => {
  /** Answers nobody: whoever dials has to refuse its certificate before. */
  async function refusalOf(shown: { certificate: string; key: string }, ca: string) {
    const server = createServer({ cert: shown.certificate, key: shown.key }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const endpoint = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const location = {
      ...{ bucket: BUCKET, prefix: "farm", endpoint, publicEndpoint: endpoint, ca },
      ...({ region: "us-east-1", style: "path" } as const),
    };
    const keys = { accessKey: "a", secretKey: "s", sessionToken: null };
    const credentials = { kind: "keys", ...keys } as const;
    const opening = S3BlobStore.open({ location, credentials, log, role: "uses", limits: SOON });
    const error = await opening.catch((refusal: unknown) => refusal);
    server.close();
    return error;
  }

  test("a request to a server whose own has ended", async () => {
    const shown = await makeServerTls(AN_HOUR_AGO);
    expect(await refusalOf(shown, shown.ca)).toMatchObject({
      code: "unreachable",
      detail: expect.stringContaining("the certificate that the server shows has ended"),
    });
  });

  test("a request to a server of another root", async () => {
    const [shown, other] = [await makeServerTls(), await makeServerTls()];
    expect(await refusalOf(shown, other.ca)).toMatchObject({
      code: "unreachable",
      detail: expect.stringContaining("no root in ca= issued what the server shows"),
    });
  });

  test("the start, when the roots that are trusted have ended", async () => {
    placeKeys({ kind: "keys", accessKey: "a", secretKey: "s", sessionToken: null });
    const { certificate } = await makeServerTls(AN_HOUR_AGO);
    place("ca.pem", certificate);
    await expect(open("https://127.0.0.1:1", `&ca=${folder}/ca.pem`)).rejects.toThrow(
      /\[invalid-argument\] --blobs ca= ended at \d{4}-.*; put a newer one into the file/,
    );
  });
});
