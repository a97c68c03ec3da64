/** @file More clients than there is work for, and slow ones: nobody else notices. */
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { connect, type Socket } from "node:net";
import { beforeAll, expect, onTestFinished, test, vi } from "vitest";
import { FarmClient } from "../../client/farm-client.js";
import { CLIP, type FileHashes, undisturbed } from "./farm-harness.js";
import { type FaultFarm, sharedFarm } from "./fault-farm.js";
import { TRIES_ALL } from "./selection.js";
import { TcpProxy } from "./tcp-proxy.js";

const PARAMETERS = { ...CLIP, numInferenceSteps: 10 };
const COUNT = TRIES_ALL ? 1_000 : 100;

const theFarm = sharedFarm(2);
let farm: FaultFarm;
let expected: FileHashes;
beforeAll(async () => {
  farm = theFarm();
  expected = (await undisturbed(PARAMETERS))[0]!;
}, 60_000);

/** Files that the coordinator has open; Linux tells. */
function openFiles(): number {
  try {
    return readdirSync(`/proc/${farm.coordinator!.pid}/fd`).length;
  } catch {
    return 0;
  }
}

/** A connection that says so much and no more. */
async function idleSocket(bytes: Buffer): Promise<Socket> {
  const socket = connect(Number(farm.front.target!.split(":")[1]), "127.0.0.1");
  onTestFinished(() => void socket.destroy());
  socket.on("error", () => {}).resume();
  await once(socket, "connect");
  socket.write(bytes);
  return socket;
}

test("connections that say nothing, or half a greeting: work goes on, and they leave nothing", async () => {
  const before = openFiles();
  const half = Buffer.from("PRI * HTTP/2.0\r\n");
  const greetings = Array.from({ length: COUNT }, (_, i) => (i % 2 === 0 ? half : Buffer.alloc(0)));
  const sockets = await Promise.all(greetings.map(idleSocket));
  expect(await farm.published(await farm.render(PARAMETERS))).toEqual(expected);
  for (const socket of sockets) socket.destroy();
  await vi.waitFor(() => expect(openFiles()).toBeLessThan(before + 20), { timeout: 20_000 });
});

test("calls whose request never ends: others are served", async () => {
  const session = connectHttp2(`http://${farm.front.address}`);
  onTestFinished(() => session.destroy());
  session.on("error", () => {});
  for (let i = 0; i < Math.min(COUNT, 200); i++) {
    const call = session.request(
      {
        ":method": "POST",
        ":path": "/renderfarm.v1.JobService/CreateJob",
        "content-type": "application/grpc",
      },
      { endStream: false },
    );
    call.on("error", () => {});
    call.write(Buffer.from([0, 0, 0, 1, 0]));
  }
  expect(await farm.published(await farm.render(PARAMETERS))).toEqual(expected);
});

test("a client that reads as through a straw gets all of it, and nobody waits for it", async () => {
  const done = await farm.render(PARAMETERS);
  const output = done.clips[0]!.outputs.find(({ format }) => format === "safetensors")!;
  const straw = await TcpProxy.start(farm.front.address);
  onTestFinished(() => straw.stop());
  straw.set("down", { kind: "bandwidth", bytesPerS: 2_000 });
  const client = new FarmClient(straw.address);
  onTestFinished(() => client.close());
  const load = async () => {
    let bytes = 0;
    const { signal } = new AbortController();
    for await (const piece of client.download(done.jobId, 0, output, signal)) bytes += piece.length;
    return bytes;
  };
  const loading = load(); // checks the hash at its end
  expect(await farm.published(await farm.render(PARAMETERS))).toEqual(expected);
  straw.heal();
  expect(await loading).toBe(output.blob.size);
});

test("a full farm refuses at once, whoever asks, and what it took goes on", async () => {
  const running = await farm.submit({ ...PARAMETERS, pair: "always" });
  // Four of them are more tasks than a farm takes.
  const big = { ...PARAMETERS, numFrames: 256, decodeChunkSize: 1, numVideosPerPrompt: 100 };
  const taken = [await farm.submit(big), await farm.submit(big), await farm.submit(big)];
  const answers = await Promise.allSettled(Array.from({ length: COUNT }, () => farm.submit(big)));
  const codes = answers.map((answer) => (answer.status === "rejected" ? answer.reason.code : "ok"));
  expect(new Set(codes)).toEqual(new Set(["exhausted"]));
  for (const { jobId } of taken) await farm.client.cancelJob(jobId);
  expect(await farm.published(await farm.follow(running.jobId).end())).toEqual(expected);
  expect(await farm.published(await farm.render(PARAMETERS))).toEqual(expected);
});
