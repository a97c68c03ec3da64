/**
 * @file `npm run harness`: a real nats-server, a real S3 store, a coordinator and two nodes on the CPU,
 * all processes of their own, render the golden clip as a pair; every step's time is printed, and the
 * bytes are compared with those of the embedded farm.
 */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FarmProcess } from "../../cli/farm-process.js";
import { startLocalFarm } from "../../cli/local-farm.js";
import { FarmClient } from "../../client/farm-client.js";
import type { RequestedParameters } from "../../shared/adapters/grpc/parameters-codec.js";
import { isTerminal, JOB_OPTIONS_DEFAULT } from "../../shared/farm/job.js";
import { TEST_FARM, TestNatsServer } from "../../test/servers/nats-server.js";
import { TestS3Server } from "../../test/servers/s3-server.js";
import { root } from "../subjects.js";
import { readSteps, stepTable } from "./step-table.js";

const GOLDEN = join(root, "test/golden/data/two-level");
const CHECKPOINT = join(GOLDEN, "checkpoint");
const PICTURE = join(GOLDEN, "runs/plain/input0.png");
/** The golden run, on two nodes. */
const CLIP: RequestedParameters = {
  ...{ height: 64, width: 96, numFrames: 7, numInferenceSteps: 4, decodeChunkSize: 3, fps: 7 },
  ...{ seeds: [42n], formats: ["safetensors"], pair: "always" },
};
const READY_MS = 120_000;
const JOINED_PAUSE_MS = 50;

const say = (line: string) => process.stdout.write(`${line}\n`);

async function main(): Promise<boolean> {
  const folder = await mkdtemp(join(tmpdir(), "renderfarm-harness-"));
  say("starting nats-server (TLS, nkeys) and SeaweedFS");
  const nats = await TestNatsServer.start();
  const s3 = await TestS3Server.start("seaweedfs");
  try {
    const real = await onRealServers(folder, nats, s3);
    say(`\n${stepTable(real.steps)}\n`);
    const embedded = await onEmbeddedFarm();
    say(`NATS and S3:   sha256 ${real.sha256}`);
    say(`embedded farm: sha256 ${embedded}`);
    const isSame = real.sha256 === embedded;
    say(isSame ? "the same bytes" : "DIFFERENT BYTES");
    return isSame;
  } finally {
    await s3.stop();
    await nats.close();
    await rm(folder, { recursive: true, force: true });
  }
}

async function onRealServers(folder: string, nats: TestNatsServer, s3: TestS3Server) {
  const ca = join(folder, "nats-ca.crt");
  await writeFile(ca, nats.ca);
  const { bucket, prefix, endpoint } = s3.location();
  const blobs = ["--blobs", `s3://${bucket}/${prefix}?endpoint=${endpoint}`];
  const { accessKey, secretKey } = s3.credentials();
  const env = (role: "coordinator" | "node") => ({
    RENDERFARM_S3_ACCESS_KEY: accessKey,
    RENDERFARM_S3_SECRET_KEY: secretKey,
    RENDERFARM_NATS_NKEY_SEED: nats.seedOf(role),
    LOG_LEVEL: "debug",
  });
  const processes: FarmProcess[] = [];
  const launch = (name: string, role: "coordinator" | "node", args: readonly string[]) => {
    const started = new FarmProcess({
      ...{ name, args: [...args, ...blobs], env: env(role), readyMs: READY_MS },
      entry: role === "node" ? "gpu-node" : role,
      logPath: join(folder, `${name}.log`),
    });
    processes.push(started);
    return started.ready;
  };
  try {
    const journal = `nats://${nats.address}/${TEST_FARM.farm}?ca=${ca}`;
    const data = join(folder, "data");
    const { address } = await launch("coordinator", "coordinator", [
      ...["--listen", "127.0.0.1:0", "--data", data, "--journal", journal],
    ]);
    const names = ["node-1", "node-2"];
    say(`coordinator ${address}; starting ${names.join(" and ")} with ${CHECKPOINT}`);
    const bus = ["--bus", `nats://${nats.address}?ca=${ca}`, "--checkpoint", CHECKPOINT];
    await Promise.all(
      names.map((name) =>
        launch(name, "node", ["--coordinator", address, "--node-id", name, ...bus]),
      ),
    );
    const sha256 = await render(address);
    const logs = await Promise.all(
      names.map((name) => readFile(join(folder, `${name}.log`), "utf8")),
    );
    return { sha256, steps: logs.map(readSteps) };
  } finally {
    await Promise.all(processes.slice(1).map((each) => each.stop()));
    await processes[0]?.stop();
  }
}

async function onEmbeddedFarm(): Promise<string> {
  const farm = await startLocalFarm({
    ...{ checkpoint: CHECKPOINT, variant: "auto", nodeCount: 2, threads: 1, verbose: false },
    ...{ listen: "127.0.0.1:0", onNote: () => {}, signal: new AbortController().signal },
  });
  try {
    return await render(farm.address);
  } finally {
    await farm.stop();
  }
}

/** The checksum of the clip's file. */
async function render(address: string): Promise<string> {
  const client = new FarmClient(address);
  try {
    for (;;) {
      const { nodes } = await client.getFarm();
      if (nodes.filter(({ connected }) => connected).length === 2) break;
      await new Promise((resolve) => setTimeout(resolve, JOINED_PAUSE_MS));
    }
    const image = await client.upload(await readFile(PICTURE));
    const { jobId } = await client.createJob({
      ...{ images: [image], parameters: CLIP, modelDigest: "", requestId: "" },
      options: JOB_OPTIONS_DEFAULT,
    });
    for await (const job of client.watchJob(jobId, AbortSignal.timeout(READY_MS))) {
      if (!isTerminal(job.state)) continue;
      const output = job.clips[0]?.outputs.find(({ format }) => format === "safetensors");
      if (job.state === "succeeded" && output) return output.blob.sha256;
      throw new Error(`the job ended as ${job.state}: ${job.clips[0]?.error?.detail ?? ""}`);
    }
    throw new Error("the job's stream ended before it did");
  } finally {
    client.close();
  }
}

process.exitCode = (await main()) ? 0 : 1;
