/** The compiled process, as an operator or the CLI starts it. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Server, ServerCredentials, type ServerDuplexStream } from "@grpc/grpc-js";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  type ConnectRequest,
  type ConnectResponse,
  NodeServiceService,
} from "../proto/gen/renderfarm/v1/node_service.js";
import {
  decodeNodeMessage,
  encodeNodeOrder,
  type NodeMessage,
} from "../shared/adapters/grpc/node-codec.js";

const MAIN = fileURLToPath(new URL("../dist/gpu-node/main.js", import.meta.url));
const CHECKPOINT = fileURLToPath(new URL("../checkpoints/demo", import.meta.url));

let folder: string;
let server: Server | null = null;
const started: ChildProcess[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "node-"));
});
afterEach(async () => {
  for (const child of started.splice(0)) child.kill("SIGKILL");
  server?.forceShutdown();
  await rm(folder, { recursive: true });
});

class NodeProcess {
  readonly child: ChildProcess;
  readonly exited: Promise<[code: number | null, signal: string | null]>;
  readonly said: unknown[] = [];
  stdout = "";
  stderr = "";

  constructor(args: readonly string[], env: Record<string, string> = {}) {
    this.child = fork(MAIN, args, { env: { ...process.env, ...env }, silent: true, execArgv: [] });
    started.push(this.child);
    this.child.stdout!.on("data", (text) => (this.stdout += String(text)));
    this.child.stderr!.on("data", (text) => (this.stderr += String(text)));
    this.child.on("message", (message) => this.said.push(message));
    this.exited = once(this.child, "close") as typeof this.exited;
  }
}

/** A coordinator that welcomes every node and keeps what it hears. */
async function listen(): Promise<{ address: string; heard: NodeMessage[]; ended: Promise<void> }> {
  const heard: NodeMessage[] = [];
  let end: () => void = () => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  server = new Server();
  server.addService(NodeServiceService, {
    connect: (call: ServerDuplexStream<ConnectRequest, ConnectResponse>) => {
      call.on("data", (wire: ConnectRequest) => {
        heard.push(decodeNodeMessage(wire));
        const lease = { leaseMs: 5_000, heartbeatMs: 1_000, takesEndings: true };
        const welcome = { kind: "welcome", ...lease } as const;
        if (heard.length === 1) call.write(encodeNodeOrder(welcome));
      });
      call.on("cancelled", end);
    },
  });
  const bind = ServerCredentials.createInsecure();
  const port = await new Promise<number>((resolve, reject) =>
    server!.bindAsync("127.0.0.1:0", bind, (error, p) => (error ? reject(error) : resolve(p))),
  );
  return { address: `127.0.0.1:${port}`, heard, ended };
}

async function joined(heard: readonly NodeMessage[]): Promise<void> {
  while (heard.length === 0) await new Promise((resolve) => setImmediate(resolve));
}

const good = (address: string) => [
  ...["--coordinator", address, "--checkpoint", CHECKPOINT],
  ...["--blob-dir", folder, "--node-id", "node-7"],
];

const refused: [name: string, args: () => string[], text: RegExp][] = [
  ["nothing", () => [], /--coordinator is missing.*\n.*--checkpoint is missing.*\n.*--blobs/],
  ["an unknown flag", () => ["--thread", "1"], /--thread/],
  ["a far coordinator", () => [...good("10.0.0.1:1")], /--coordinator "10\.0\.0\.1:1".*TLS/],
  [
    "a missing blob folder",
    () => [...good("127.0.0.1:1"), "--blob-dir", join(folder, "no")],
    /--blobs: .*no is not a folder/,
  ],
  [
    "a missing checkpoint",
    () => [...good("127.0.0.1:1"), "--checkpoint", join(folder, "no")],
    /no such folder/,
  ],
];

test.each(refused)("started with %s: a clear message and exit code 2", async (_, args, text) => {
  const node = new NodeProcess(args());
  expect(await node.exited).toEqual([2, null]);
  expect(node.stderr).toMatch(text);
  expect(node.stdout).toBe("");
  expect(node.said).toMatchObject([{ kind: "failed" }]);
});

test("opens the checkpoint, says that it is ready, joins; SIGTERM ends it with exit code 0", async () => {
  const { address, heard, ended } = await listen();
  const node = new NodeProcess(good(address));
  await once(node.child, "message");
  expect(node.said).toEqual([{ kind: "ready", nodeId: "node-7", metrics: null }]);
  await joined(heard);
  expect(heard[0]).toMatchObject({
    kind: "hello",
    identity: { nodeId: "node-7", provider: "cpu", model: { name: "demo", numFrames: 14 } },
  });
  node.child.kill("SIGTERM");
  expect(await node.exited).toEqual([0, null]);
  await ended;
  expect(node.stdout).toBe("");
  for (const line of node.stderr.trimEnd().split("\n")) {
    expect(JSON.parse(line)).toMatchObject({ name: "gpu-node", node_id: "node-7" });
  }
});

test("a parent that goes away takes the node with it", async () => {
  const { address, heard, ended } = await listen();
  const node = new NodeProcess(good(address));
  await joined(heard);
  const exited = once(node.child, "exit"); // "close" does not come once the channel is closed
  node.child.disconnect();
  expect(await exited).toEqual([0, null]);
  await ended;
});
