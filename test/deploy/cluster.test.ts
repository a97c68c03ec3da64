/**
 * The overlay for GPUs as it is rendered, on this machine: its own ConfigMaps, environment, commands,
 * probes and secrets start the real processes, two coordinators, three nodes, NATS and an S3.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { FarmClient } from "../../client/farm-client.js";
import { JOB_OPTIONS_DEFAULT, type JobView } from "../../shared/farm/job.js";
import type { JobParameters } from "../../shared/farm/parameters.js";
import {
  CHECKPOINT,
  CLIP,
  Following,
  hashesOf,
  isMidDenoise,
  PICTURE,
  stageOf,
  undisturbed,
} from "../farm/farm-harness.js";
import { serverPath } from "../servers/server-path.js";
import { renderOverlays } from "./overlays.js";
import { MADE_BY_SCRIPT } from "./policies/references.js";
import { SimulatedCluster } from "./simulated-cluster.js";

const rendered = await renderOverlays();
const nats = await serverPath("nats-server");
const weed = await serverPath("seaweedfs");
const canRun = rendered !== null && nats !== null && weed !== null;
/** Longer than a lease and the steps that are made again. */
const SILENCE_MS_MAX = 90_000;
/** From the end of a leader to the next: a lease, and the farm is read. */
const LEADER_MS_MAX = 60_000;
/** A look every 5 s at the files of the server, on a busy machine. */
const RENEWED_MS_MAX = 30_000;
const LONG: JobParameters = { ...CLIP, numInferenceSteps: 150 };

describe.skipIf(!canRun)("the overlay nvidia-gpu as processes", () => {
  let cluster: SimulatedCluster;
  let expected: Awaited<ReturnType<typeof undisturbed>>;

  beforeAll(async () => {
    expected = await undisturbed(LONG);
    cluster = await SimulatedCluster.start({
      objects: rendered?.get("nvidia-gpu") ?? [],
      programs: [nats!, weed!],
      checkpoint: CHECKPOINT,
      // This machine has no GPU; and how a kernel cuts up its sums goes by the threads.
      instead: { RENDERFARM_PROVIDER: "cpu", RENDERFARM_THREADS: "1" },
    });
  });
  afterAll(() => cluster?.stop());

  /** Of the coordinator that leads: the other one listens on no API port. */
  async function leader(): Promise<[client: FarmClient, name: string]> {
    const found: [FarmClient, string][] = [];
    await vi.waitFor(
      async () => {
        for (const name of ["coordinator-0", "coordinator-1"]) {
          const client = new FarmClient(cluster.pod(name).address("grpc"), {
            tls: { ca: cluster.secret("farm-ca")["ca.crt"]!, pair: null },
            token: cluster.token,
          });
          const isLeading = await client.getFarm().then(
            () => true,
            () => false,
          );
          if (isLeading) found.push([client, name]);
          else client.close();
        }
        expect(found).toHaveLength(1);
      },
      { timeout: LEADER_MS_MAX, interval: 200 },
    );
    return found[0]!;
  }

  async function submit(
    client: FarmClient,
    requestId: string,
    parameters: JobParameters = LONG,
  ): Promise<JobView> {
    const image = await client.upload(readFileSync(PICTURE));
    return client.createJob({
      images: [image],
      parameters,
      modelDigest: "",
      requestId,
      options: { ...JOB_OPTIONS_DEFAULT, owner: "admin" },
    });
  }

  const follow = (client: FarmClient, jobId: string) =>
    new Following(client.watchJob(jobId, AbortSignal.timeout(SILENCE_MS_MAX)));

  test("a node is drained as a rollout does while it denoises, and the clip has the same bytes", async () => {
    const [client] = await leader();
    const { jobId } = await submit(client, "rollout");
    const following = follow(client, jobId);
    const middle = await following.until(isMidDenoise);
    const [nodeId = ""] = stageOf(middle, "denoise")?.nodeIds ?? [];
    expect(await cluster.pod(nodeId).terminate()).toBe("exit code 0");
    await cluster.pod(nodeId).start();

    const job = await following.end();
    expect(hashesOf(job)).toEqual(expected[0]);
    expect(stageOf(job, "denoise")?.nodeIds.length).toBeGreaterThan(1);
    await cluster.ready(cluster.pod(nodeId));
    client.close();
  });

  test("the script makes every Secret that the manifests take for granted", () => {
    for (const name of MADE_BY_SCRIPT) expect(cluster.secret(name), name).toBeDefined();
  });

  test("a link that the signer signed reads a finished file, and its keys do nothing else", async () => {
    const [client] = await leader();
    const [job] = (await client.listJobs({ size: 1 })).jobs;
    const [output] = job!.clips[0]!.outputs;
    const { url } = await client.outputLink(job!.jobId, 0, output!.fileName);
    client.close();
    const bytes = await cluster.getLink(url);
    expect(createHash("sha256").update(bytes).digest("hex")).toBe(output!.blob.sha256);

    const signer = cluster.s3Client("signer");
    const refused = { code: "AccessDenied" };
    await expect(signer.putObject("renderfarm", "renderfarm/v1/x", "x")).rejects.toMatchObject(
      refused,
    );
    await expect(
      signer.getObject("renderfarm-models", "checkpoint/model_index.json"),
    ).rejects.toMatchObject(refused);
    await expect(signer.removeObject("renderfarm", output!.blob.key)).rejects.toMatchObject(
      refused,
    );
  });

  test("metrics are for who shows a certificate of the farm, readiness is for everybody", async () => {
    const node = cluster.pod("node-decode-0");
    expect((await cluster.get(node, "/readyz", false))[0]).toBe(200);
    expect((await cluster.get(node, "/metrics", false))[0]).toBe(403);
    const [status, text] = await cluster.get(node, "/metrics", true);
    expect(status).toBe(200);
    expect(text).toMatch(/renderfarm_node_up\{node="node-decode-0",role="decode"\} 1/);
    expect(text).toMatch(
      /renderfarm_certificate_expiry_timestamp_seconds\{certificate="farm"\} \d/,
    );
  });

  test("certificates that the script renews are shown by NATS while it runs, and the farm works on", async () => {
    const server = cluster.pod("nats-0");
    const before = await cluster.shownBy(server);
    cluster.renewSecrets();
    await vi.waitFor(async () => expect(await cluster.shownBy(server)).not.toBe(before), {
      timeout: RENEWED_MS_MAX,
      interval: 200,
    });
    const [client] = await leader();
    const { jobId } = await submit(client, "renewed", { ...LONG, numInferenceSteps: 4 });
    expect(await follow(client, jobId).end()).toMatchObject({ state: "succeeded" });
    client.close();
  });

  test("the standby takes over from a leader that is killed, and the clip has the same bytes", async () => {
    const [before, name] = await leader();
    const { jobId } = await submit(before, "takeover");
    await follow(before, jobId).until(isMidDenoise);
    await cluster.pod(name).terminate("SIGKILL");
    before.close();

    const [after, next] = await leader();
    expect(next).not.toBe(name);
    expect(hashesOf(await follow(after, jobId).end())).toEqual(expected[0]);
    after.close();
  });
});
