/**
 * A farm whose every certificate and key is changed while it works: those of its own, of NATS and of
 * the store, with their roots.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { JobView } from "../../shared/farm/job.js";
import { HOUR_MS, SecuredFarm, type Servers, submit } from "../access/secured-farm.js";
import {
  CLIP,
  type FileHashes,
  hashesOf,
  isMidDenoise,
  undisturbed,
} from "../farm/farm-harness.js";
import { makeNatsSecrets, type NatsSecrets } from "../servers/nats-secrets.js";
import { natsServerPath, TEST_FARM, TestNatsServer } from "../servers/nats-server.js";
import { TestS3Server } from "../servers/s3-server.js";
import { makeServerTls } from "../servers/server-tls.js";
import { s3Url } from "./s3-farm.js";
import { serversAtHand } from "./s3-stores.js";

const [storeKind] = await serversAtHand();
/** More steps than are made while keys and certificates are changed. */
const LONG = { numInferenceSteps: 240, formats: ["safetensors"], pair: "always" } as const;
const MEMBERS = ["coordinator", "node-1", "node-2"];
/** Each task of the clip granted once; its frames are decoded in two chunks. */
const GRANTED_ONCE = { condition: 1, denoise: 1, decode: 2, mux: 1 };

describe.runIf(natsServerPath && storeKind)("a farm over TLS, with NATS and S3 over TLS", () => {
  let folder: string;
  let nats: TestNatsServer;
  let store: TestS3Server;
  let farm: SecuredFarm;
  let expected: FileHashes;
  beforeAll(async () => {
    [expected] = (await undisturbed({ ...CLIP, ...LONG })) as [FileHashes];
    folder = mkdtempSync(join(tmpdir(), "rotation-"));
    nats = await TestNatsServer.start({ asksForCertificates: true });
    const tls = await makeServerTls();
    store = await TestS3Server.start(storeKind!, { tls });
    placeNats(nats.secrets, nats.ca);
    place("s3-ca.pem", tls.ca);
    farm = await SecuredFarm.start(2, servers());
  });
  afterAll(async () => {
    await farm?.stop();
    await Promise.all([nats.close(), store.stop()]);
    rmSync(folder, { recursive: true });
  });

  function place(name: string, text: string): void {
    writeFileSync(join(folder, name), text, { mode: 0o600 });
  }

  function placeNats({ client, seeds }: NatsSecrets, roots: string): void {
    place("nats-cert.pem", client.certificate);
    place("nats-key.pem", client.key);
    place("coordinator.nk", seeds.get("coordinator")!);
    place("gpu-node.nk", seeds.get("node")!);
    place("nats-ca.pem", roots);
  }

  function servers(): Servers {
    const file = (name: string) => join(folder, name);
    const shown = `cert=${file("nats-cert.pem")}&key=${file("nats-key.pem")}`;
    const url = `nats://${nats.address}/${TEST_FARM.farm}?ca=${file("nats-ca.pem")}&${shown}`;
    const blobs = ["--blobs", `${s3Url(store)}&ca=${file("s3-ca.pem")}`];
    const { accessKey, secretKey } = store.credentials();
    return {
      args: (entry) => [...blobs, entry === "coordinator" ? "--journal" : "--bus", url],
      env: (entry) => ({
        RENDERFARM_NATS_NKEY_SEED_FILE: file(`${entry}.nk`),
        ...{ RENDERFARM_S3_ACCESS_KEY: accessKey, RENDERFARM_S3_SECRET_KEY: secretKey },
      }),
    };
  }

  const allSaid = (text: string, times: number) =>
    Promise.all(MEMBERS.map((name) => farm.said(name, text, times)));

  test("changes them all in the midst of a clip: no attempt is lost, and the bytes are the same", async () => {
    farm.explainFailure();
    const newerNats = await makeNatsSecrets([TEST_FARM]);
    const newerStore = await makeServerTls();
    const alice = await farm.clientOf("alice", ["submit", "read"]);
    const { jobId } = await submit(alice, LONG);
    const watched = farm.follow(alice, jobId);
    await watched.until((job) => isMidDenoise(job));

    // NATS takes old and new, then the new ones alone: whoever was connected by an old one is cut off.
    const olderNats = nats.secrets;
    await nats.changeSecrets(olderNats, [olderNats, newerNats]);
    placeNats(newerNats, newerNats.ca + olderNats.ca);
    await allSaid("took new files for NATS", 1);
    await nats.changeSecrets(newerNats, [newerNats]);
    await allSaid("connected to the NATS server", 1);
    const { clips } = await alice.getJob(jobId);
    await watched.until((job) => job.clips[0]!.stepsDone > clips[0]!.stepsDone);

    // From here to its end the clip cannot end: its latents have nowhere to go.
    await store.kill("SIGKILL");
    await store.useTls(newerStore);
    await farm.certs.replaceRoot(24 * HOUR_MS);
    await farm.certs.renewAll({ lifeMs: HOUR_MS });
    await allSaid("took a new certificate", 1);
    for (const node of ["node-1", "node-2"]) await farm.said(node, "goes on under the new");

    place("s3-ca.pem", newerStore.ca);
    await allSaid("took new files for S3", 1);
    place("nats-ca.pem", newerNats.ca);
    await allSaid("took new files for NATS", 2);
    farm.certs.dropOldRoot();
    await allSaid("took a new certificate", 2);
    const late = await farm.clientOf("alice", ["submit", "read"]);
    expect(await late.getJob(jobId)).toMatchObject({ state: "running" });
    await store.run();

    const ended = await farm.follow(late, jobId).end();
    expect(hashesOf(ended)).toEqual(expected);
    expect(grantsOf(ended)).toEqual(GRANTED_ONCE);
    expect(ended.clips[0]!.plan).toBe("pair");
    const { jobId: next } = await submit(late, { ...LONG, numInferenceSteps: 4 });
    expect(await farm.follow(late, next).end()).toMatchObject({ state: "succeeded" });
    for (const name of MEMBERS) {
      expect(farm.logOf(name)).not.toMatch(/leads no longer|cut off from the coordinator/);
    }
  });
});

const grantsOf = (job: JobView) =>
  Object.fromEntries(job.clips[0]!.stages.map(({ stage, attempts }) => [stage, attempts]));
