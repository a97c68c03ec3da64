/**
 * @file Bad jobs, bad nodes and bad clients: they get what they deserve, everybody else what they
 * asked for.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { credentials } from "@grpc/grpc-js";
import { beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { JobServiceClient } from "../../proto/gen/renderfarm/v1/job_service.js";
import type { JobParameters } from "../../shared/farm/parameters.js";
import { CLIP, type FileHashes, stageOf, undisturbed } from "./farm-harness.js";
import { type FaultFarm, sharedFarm } from "./fault-farm.js";
import { TRIES_ALL } from "./selection.js";

const PARAMETERS: JobParameters = { ...CLIP, numInferenceSteps: 10 };

const theFarm = sharedFarm(3);
let farm: FaultFarm;
let expected: FileHashes;
beforeAll(async () => {
  farm = theFarm();
  expected = (await undisturbed(PARAMETERS))[0]!;
}, 60_000);

const nodeIds = () => [...farm.nodes.keys()];

describe("among good jobs", () => {
  test("one that kills the runtime of whoever works on it: it fails, the others do not", async () => {
    const poison = await farm.submit({ ...PARAMETERS, pair: "never", numInferenceSteps: 200 });
    const good = await Promise.all(
      Array.from({ length: TRIES_ALL ? 20 : 4 }, () => farm.submit(PARAMETERS)),
    );
    const job = farm.follow(poison.jobId);
    const ended = await job.until((state) => {
      const worker = farm.workerOf(`${poison.jobId}-0-denoise`);
      const isWorking = state.clips[0]!.stepsDone > 0 && state.state === "running";
      for (const pid of worker && isWorking ? farm.runtimePids(worker) : []) {
        process.kill(pid, "SIGKILL");
      }
      return state.state === "failed";
    });
    expect(ended.clips[0]!.error).toMatchObject({ code: "runtime-failed" });
    expect(stageOf(ended, "denoise")!.attempts).toBeLessThanOrEqual(5);
    for (const { jobId } of good) {
      expect(await farm.published(await farm.follow(jobId).end())).toEqual(expected);
    }
    expect((await farm.client.getFarm()).nodes.map(({ refusal }) => refusal)).toEqual(["", "", ""]);
  });

  test("a node that fails everything: it is quarantined, and no job fails", async () => {
    const elsewhere = mkdtempSync(join(tmpdir(), "farm-no-blobs-"));
    onTestFinished(() => rmSync(elsewhere, { recursive: true, force: true }));
    await farm.startNode("node-4", { blobDir: elsewhere });
    onTestFinished(() => farm.removeNode("node-4"));
    await farm.nodesJoined(4);
    const jobs = await Promise.all(Array.from({ length: 8 }, () => farm.submit(PARAMETERS)));
    for (const { jobId } of jobs) {
      expect(await farm.published(await farm.follow(jobId).end())).toEqual(expected);
    }
    const { nodes } = await farm.client.getFarm();
    const refusals = Object.fromEntries(nodes.map((node) => [node.nodeId, node.refusal]));
    expect(refusals).toEqual({ "node-1": "", "node-2": "", "node-3": "", "node-4": "quarantined" });
  });
});

describe("clients that", () => {
  /** A number from 0 to 255 for each place: the same for each run. */
  const noise = (seed: string, bytes: number): Buffer => {
    const pieces: Buffer[] = [];
    for (let i = 0; i * 32 < bytes; i++) {
      pieces.push(createHash("sha256").update(`${seed} ${i}`).digest());
    }
    return Buffer.concat(pieces).subarray(0, bytes);
  };
  const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  /** Length, type, flags and stream of an HTTP/2 frame. */
  const frame = (length: number, type: number, flags: number, stream: number) =>
    Buffer.from([length >> 16, length >> 8, length, type, flags, 0, 0, 0, stream]);

  const garbage: [name: string, bytes: Buffer][] = [
    ["nothing", Buffer.alloc(0)],
    ["one byte", Buffer.from([0])],
    ["another protocol", Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n")],
    ["TLS", Buffer.from("16030100c8010000c40303", "hex")],
    ["a frame of 16 MB", Buffer.concat([preface, frame(0xffffff, 0, 0, 1)])],
    ["headers that are none", Buffer.concat([preface, frame(64, 1, 4, 1), noise("h", 64)])],
    ["a half of the preface", preface.subarray(0, 12)],
    ...Array.from({ length: TRIES_ALL ? 200 : 20 }, (_, i): [string, Buffer] => [
      `noise ${i}`,
      noise(`noise ${i}`, 1 + i * 97),
    ]),
    ...Array.from({ length: TRIES_ALL ? 200 : 20 }, (_, i): [string, Buffer] => [
      `noise ${i} after the preface`,
      Buffer.concat([preface, noise(`preface ${i}`, 1 + i * 97)]),
    ]),
  ];

  test("say what is no protocol of ours, to every port: all live, and the work goes on", async () => {
    const pids = () => [
      farm.coordinator!.pid,
      ...nodeIds().map((nodeId) => farm.node(nodeId).process.pid),
    ];
    const before = pids();
    const job = farm.follow((await farm.submit({ ...PARAMETERS, pair: "always" })).jobId);
    const ports = [
      ...[farm.front.target!, (await farm.coordinator!.ready).httpAddress],
      ...nodeIds().map((id) => farm.node(id).bus.target!),
      ...["coordinator", ...nodeIds()].map((name) => farm.portForMachines(name)),
    ];
    expect(new Set(ports).size).toBe(3 + 2 * nodeIds().length);
    for (const address of ports) {
      for (const [, bytes] of garbage) {
        const socket = connect(Number(address.split(":")[1]), "127.0.0.1");
        socket.on("error", () => {}).resume();
        socket.end(bytes);
        await once(socket, "close");
      }
    }
    expect(await farm.published(await job.end())).toEqual(expected);
    expect(pids()).toEqual(before);
    expect(await farm.published(await farm.render(PARAMETERS))).toEqual(expected);
  });

  test("send headers of a megabyte: refused, and the next call is served", async () => {
    const session = connectHttp2(`http://${farm.front.address}`);
    session.on("error", () => {});
    const call = session.request({
      ":method": "POST",
      ":path": "/renderfarm.v1.JobService/GetFarm",
      "content-type": "application/grpc",
      "x-long": "x".repeat(1_000_000),
    });
    await once(call, "error").catch(() => {});
    session.destroy();
    expect((await farm.client.getFarm()).nodes).toHaveLength(3);
  });

  /** Flag of compression, length, and what comes. */
  const message = (flag: number, length: number, bytes: string) =>
    Buffer.concat([Buffer.from([flag, 0, 0, length >> 8, length & 255]), Buffer.from(bytes)]);
  const [UNIMPLEMENTED, INTERNAL] = ["12", "13"];
  const messages: [name: string, bytes: Buffer, encoding: string, status: string][] = [
    ["that are no gzip", message(1, 4, "\n\u0002ab"), "gzip", INTERNAL],
    ["compressed as nobody knows", message(1, 4, "\n\u0002ab"), "xz", UNIMPLEMENTED],
    ["that end before their length", message(0, 400, "\n\u0002ab"), "identity", UNIMPLEMENTED],
    ["whose fields are longer than they", message(0, 4, "\n\u00ffab"), "identity", INTERNAL],
  ];

  test.each(messages)("send messages %s: refused, and the next call is served", async (...row) => {
    const [, bytes, encoding, status] = row;
    const session = connectHttp2(`http://${farm.front.address}`);
    onTestFinished(() => session.destroy());
    const call = session.request({
      ":method": "POST",
      ":path": "/renderfarm.v1.JobService/GetJob",
      "content-type": "application/grpc",
      "grpc-encoding": encoding,
      te: "trailers",
    });
    const told = new Promise<string>((resolve) => {
      const hear = (headers: Record<string, unknown>) => {
        if (headers["grpc-status"] !== undefined) resolve(String(headers["grpc-status"]));
      };
      call.on("response", hear).on("trailers", hear);
    });
    call.resume().end(bytes);
    expect(await told).toBe(status);
    expect((await farm.client.getFarm()).nodes).toHaveLength(3);
  });

  test("watch and download, and never read: the coordinator's memory is bounded", async () => {
    const done = await farm.render({
      ...PARAMETERS,
      ...{ height: 96, width: 96, numFrames: 14, numInferenceSteps: 2, pair: "always" },
    });
    const sizeOf = ({ blob }: { blob: { size: number } }) => blob.size;
    const output = done.clips[0]!.outputs.toSorted((a, b) => sizeOf(b) - sizeOf(a))[0]!;
    const running = await farm.submit({ ...PARAMETERS, numInferenceSteps: 100 });
    const before = residentBytes(farm.coordinator!.pid!);
    const connections = Array.from({ length: 4 }, () => {
      const options = { "grpc.use_local_subchannel_pool": 1 };
      const stub = new JobServiceClient(farm.front.address, credentials.createInsecure(), options);
      onTestFinished(() => stub.close());
      return stub;
    });
    const streams = connections.flatMap((stub) =>
      Array.from({ length: 100 }, () => {
        const watching = stub.watchJob({ jobId: running.jobId });
        const { fileName } = output;
        const wanted = { jobId: done.jobId, clipIndex: 0, fileName, offset: 0n };
        const loading = stub.downloadOutput(wanted);
        for (const call of [watching, loading]) call.on("error", () => {}).pause();
        return once(loading, "metadata");
      }),
    );
    await Promise.all(streams);
    const ended = await farm.follow(running.jobId).end();
    expect(ended.state).toBe("succeeded");
    const grown = residentBytes(farm.coordinator!.pid!) - before;
    // Far less than if all of it waited in memory.
    expect(sizeOf(output) * streams.length).toBeGreaterThan(600e6);
    expect(grown).toBeLessThan(300e6);
  });
});

function residentBytes(pid: number): number {
  return Number(execFileSync("ps", ["-o", "rss=", "-p", String(pid)], { encoding: "utf8" })) * 1024;
}
