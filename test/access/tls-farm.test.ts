/** A farm over TLS: what it renders while its certificates change and end, and whom it does not let in. */
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { connect as connectTcp } from "node:net";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import {
  afterAll,
  beforeAll,
  beforeEach,
  describe,
  expect,
  onTestFinished,
  test,
  vi,
} from "vitest";
import { FarmClient } from "../../client/farm-client.js";
import { AuthorityFolder } from "../../shared/adapters/tls/authority-folder.js";
import {
  CLIP,
  type FileHashes,
  hashesOf,
  isMidDenoise,
  undisturbed,
} from "../farm/farm-harness.js";
import { HOUR_MS, SAID_MS_MAX, SecuredFarm, submit, tlsFlags } from "./secured-farm.js";

const PARAMETERS = { numInferenceSteps: 12, formats: ["safetensors"] } as const;
/** Long enough to be held in the middle. */
const LONG = { numInferenceSteps: 40, formats: ["safetensors"] } as const;

let expected: FileHashes;
let farm: SecuredFarm;
beforeAll(async () => {
  [expected] = (await undisturbed({ ...CLIP, ...PARAMETERS })) as [FileHashes];
  farm = await SecuredFarm.start(2);
});
afterAll(() => farm?.stop());
beforeEach(() => farm.explainFailure());

describe("a farm over TLS", () => {
  test("renders a pair's clip with the bytes of a farm without", async () => {
    const alice = await farm.clientOf("alice", ["submit", "read"]);
    const { jobId, options } = await submit(alice, { ...PARAMETERS, pair: "always" });
    expect(options.owner).toBe("alice");
    const ended = await farm.follow(alice, jobId).end();
    expect(ended.clips[0]?.plan).toBe("pair");
    expect(hashesOf(ended)).toEqual(expected);
  });

  test("changes its root and every certificate under load: no job is lost, the bytes are the same", async () => {
    const alice = await farm.clientOf("alice", ["submit", "read"]);
    const jobIds: string[] = [];
    for (let i = 0; i < 4; i++) {
      const pair = i % 2 === 0 ? "always" : "never";
      jobIds.push((await submit(alice, { ...PARAMETERS, pair })).jobId);
    }
    await farm.follow(alice, jobIds[0]!).until((job) => isMidDenoise(job));
    const names = ["coordinator", "node-1", "node-2"];
    const taken = "took a new certificate";
    const before = names.map((name) => farm.logOf(name).split(taken).length - 1);
    await farm.certs.replaceRoot(24 * HOUR_MS);
    await farm.certs.renewAll({ lifeMs: HOUR_MS });
    for (const [i, name] of names.entries()) await farm.said(name, taken, before[i]! + 1);
    farm.certs.dropOldRoot();
    for (const [i, name] of names.entries()) await farm.said(name, taken, before[i]! + 2);
    // A node that comes now, and a client, know the new root alone.
    await farm.nodes.get("node-2")!.stop();
    await farm.startNode("node-2");
    await farm.nodesJoined(2);
    const late = farm.client(farm.giveKey("alice", ["submit", "read"]).token);
    await vi.waitFor(() => late.getFarm(), { timeout: SAID_MS_MAX });
    for (const jobId of jobIds) {
      expect(hashesOf(await farm.follow(late, jobId).end())).toEqual(expected);
    }
    const fresh = await submit(late, { ...PARAMETERS, pair: "always" });
    expect(hashesOf(await farm.follow(late, fresh.jobId).end())).toEqual(expected);
  });

  test("whose only node's certificate ends: the job waits, and goes on with the next one", async () => {
    const short = await SecuredFarm.start(0);
    onTestFinished(() => short.stop());
    await short.startNode("node-1", await short.issueNode("node-1", 15_000));
    await short.nodesJoined(1);
    const alice = await short.clientOf("alice", ["submit", "read"]);
    const { jobId } = await submit(alice, LONG);
    const watched = short.follow(alice, jobId);
    await watched.until((job) => isMidDenoise(job));
    const release = short.holdRuntime("node-1");
    await short.said("node-1", "the certificate of node node-1 has ended");
    await vi.waitFor(async () => {
      expect((await alice.getFarm()).nodes.filter((node) => node.connected)).toEqual([]);
    });
    expect((await alice.getJob(jobId)).state).toBe("running");
    await short.issueNode("node-1");
    release();
    const ended = await watched.end();
    const [whole] = await undisturbed({ ...CLIP, ...LONG });
    expect(hashesOf(ended)).toEqual(whole);
  });
});

describe("nobody comes in", () => {
  const address = () => farm.address;
  const busOf = (nodeId: string) => /"bus":"([^"]+)"/.exec(farm.logOf(nodeId))![1]!;

  /** Whether a side over TLS that shows this gets an answer to its first bytes. */
  function isServed(at: string, options: object): Promise<boolean> {
    const [host, port] = at.split(":");
    const socket = connectTls({
      host: host!,
      port: Number(port),
      rejectUnauthorized: false,
      ...options,
    });
    socket.on("error", () => {});
    socket.on("secureConnect", () => socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    return new Promise((resolve) => {
      socket.once("close", () => resolve(false));
      socket.once("data", () => {
        resolve(true);
        socket.destroy();
      });
    });
  }

  test("with TLS 1.2, neither to the coordinator nor to a bus", async () => {
    const ca = readFileSync(farm.certs.caPath);
    expect(await isServed(address(), { ca, ALPNProtocols: ["h2"] })).toBe(true);
    const old = { ca, maxVersion: "TLSv1.2", ALPNProtocols: ["h2"] };
    expect(await isServed(address(), old)).toBe(false);
    expect(await isServed(busOf("node-1"), old)).toBe(false);
  });

  test("without TLS", async () => {
    const plain = new FarmClient(address());
    onTestFinished(() => plain.close());
    await expect(plain.getFarm()).rejects.toMatchObject({ code: "unreachable" });
    const [host, port] = busOf("node-1").split(":");
    const socket = connectTcp(Number(port), host).on("error", () => {});
    socket.write("x".repeat(100));
    await once(socket.resume(), "close");
  });

  test("to a bus without a certificate, or with a user's", async () => {
    const user = await farm.certs.issue({ role: "user", name: "alice" }, { lifeMs: HOUR_MS });
    const read = (path: string) => readFileSync(path);
    const pair = { cert: read(user.paths.cert), key: read(user.paths.key) };
    expect(await isServed(busOf("node-1"), {})).toBe(false);
    expect(await isServed(busOf("node-1"), pair)).toBe(false);
  });

  test("a node of another root, which the coordinator refuses while it knows the coordinator", async () => {
    const root = { farm: "test", lifeMs: HOUR_MS, nowMs: Date.now };
    const other = await AuthorityFolder.create(join(farm.scratch, "other"), root);
    const { paths } = await other.issue({ role: "node", name: "node-9" }, { lifeMs: HOUR_MS });
    const both = join(farm.scratch, "both.pem");
    const roots = [other.caPath, farm.certs.caPath].map((path) => readFileSync(path, "utf8"));
    writeFileSync(both, roots.join(""));
    const intruder = await farm.startNode("node-9", {
      ...{ identity: { farm: "test", role: "node", name: "node-9" }, hosts: [] },
      ...{ paths: { ...paths, ca: both }, startsAtMs: 0, endsAtMs: 0 },
    });
    await farm.said("node-9", "nodes show a certificate of this farm; none was shown", 2);
    await intruder.stop();
    farm.nodes.delete("node-9");
    await farm.nodesJoined(2);
  });

  test("a client that knows another root, or dials a node in the coordinator's place", async () => {
    const { token } = farm.giveKey("alice", ["read"]);
    const other = await SecuredFarm.prepare();
    onTestFinished(() => other.stop());
    const stranger = new FarmClient(address(), other.entry(token));
    const misled = new FarmClient(busOf("node-1"), farm.entry(token));
    onTestFinished(() => {
      stranger.close();
      misled.close();
    });
    await expect(stranger.getFarm()).rejects.toMatchObject({ code: "unreachable" });
    await expect(misled.getFarm()).rejects.toMatchObject({ code: "unreachable" });
  });
});

test("a node with another one's certificate does not start", async () => {
  const { paths } = await farm.issueNode("node-2");
  const args = ["--coordinator", farm.address, "--checkpoint", "x", "--node-id", "node-1"];
  const blobs = ["--blob-dir", join(farm.scratch, "data/blobs")];
  const node = farm.launch("impostor", "gpu-node", [...args, ...blobs, ...tlsFlags(paths)]);
  await expect(node.ready).rejects.toMatchObject({
    code: "invalid-argument",
    detail: expect.stringContaining("--node-id: node-1 is not node-2"),
  });
});
