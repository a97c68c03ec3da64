/** @file A folder in which the commands of one document are typed, and the servers that it speaks of. */
import { spawn } from "node:child_process";
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import { CHECKPOINT, PICTURE } from "../farm/farm-harness.js";
import { editJson } from "../golden/checkpoint-folders.js";
import { freePorts } from "../servers/free-ports.js";
import { TestNatsServer } from "../servers/nats-server.js";
import { BUCKET, TestS3Server } from "../servers/s3-server.js";
import { serverPath } from "../servers/server-path.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PRELUDE = readFileSync(join(import.meta.dirname, "prelude.sh"), "utf8");
/** Between what two blocks say. */
const MARK = "=== next block";

export interface World {
  readonly folder: string;
  /** Types blocks into one shell; what each said on stdout. */
  type(blocks: readonly string[]): Promise<string[]>;
}

/** A world for one test. */
export async function openWorld(text: string): Promise<World> {
  const folder = mkdtempSync(join(tmpdir(), "renderfarm-docs-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  putFiles(folder);
  const ports = (await freePorts(5)).map(String);
  const servers = await startServers(text, folder);
  const environment = {
    ...Object.fromEntries(
      Object.entries(process.env).filter(([name]) => !name.startsWith("RENDERFARM_")),
    ),
    ...{ ROOT, WORLD: folder, HOME: folder, XDG_CONFIG_HOME: folder, NODE: process.execPath },
    KUSTOMIZE: text.includes("kubectl") ? ((await serverPath("kustomize")) ?? "") : "",
    NODE_OPTIONS: `--require ${join(import.meta.dirname, "hosts.cjs")}`,
    ...{ PORT: ports[0], HTTP_PORT: ports[1], FARM: `http://127.0.0.1:${ports[1]}` },
    RENDERFARM_ADDRESS: `127.0.0.1:${ports[0]}`,
    RENDERFARM_LISTEN: `127.0.0.1:${ports[0]}`,
  };
  const moved = (block: string) => servers.places(moveTo(folder, ports, block));
  return {
    folder,
    type: (blocks) => typed(blocks.map(moved), folder, environment),
  };
}

/** Where the documents' ports and folders are in this test. */
function moveTo(folder: string, ports: readonly string[], block: string): string {
  const places: [string, string][] = [
    ...["7433", "7434", "7435", "7500", "7501"].map((port, i): [string, string] => [
      `:${port}`,
      `:${ports[i]}`,
    ]),
    ["/var/lib/renderfarm", join(folder, "data")],
    ["/models/svd-xt", "checkpoints/demo"],
    ["path/to/stable-video-diffusion-img2vid-xt", "checkpoints/demo"],
  ];
  return places.reduce((text, [from, to]) => text.replaceAll(from, to), block);
}

/** What the documents take for granted: pictures, and a checkpoint, here a smaller one. */
function putFiles(folder: string): void {
  for (const name of ["photo.jpg", "photo.png", "a.png", "b.png"]) {
    copyFileSync(PICTURE, join(folder, name));
  }
  mkdirSync(join(folder, "pictures"));
  copyFileSync(PICTURE, join(folder, "pictures", "one.png"));
  mkdirSync(join(folder, "data"));
  const lines = [
    { image: "a.png", seed: 7 },
    { image: "b.png", seed: 8, fps: 12 },
  ];
  writeFileSync(join(folder, "batch.jsonl"), lines.map((line) => JSON.stringify(line)).join("\n"));
  cpSync(CHECKPOINT, join(folder, "checkpoints/demo"), { recursive: true });
  // Its own size is what clips have by default.
  editJson(join(folder, "checkpoints/demo/unet/config.json"), { sample_size: 8, num_frames: 3 });
  mkdirSync(join(folder, "checkpoints/demo/samples"));
  copyFileSync(PICTURE, join(folder, "checkpoints/demo/samples/scene1.png"));
  mkdirSync(join(folder, "bin"));
  symlinkSync(join(ROOT, "bin/renderfarm"), join(folder, "bin/renderfarm"));
  for (const name of ["deploy/s3", "deploy/prometheus"]) {
    cpSync(join(ROOT, name), join(folder, name), { recursive: true });
  }
}

/** The real servers that a document names, and their places in it. */
async function startServers(text: string, folder: string) {
  const places: [RegExp, string][] = [];
  if (text.includes("nats://")) {
    const nats = await TestNatsServer.start({ farms: [{ prefix: "rf", farm: "blue" }] });
    onTestFinished(() => nats.close());
    writeFileSync(join(folder, "nats-ca.pem"), nats.ca);
    for (const role of ["coordinator", "node"] as const) {
      writeFileSync(join(folder, `${role}.nk`), nats.seedOf(role), { mode: 0o600 });
    }
    places.push([/nats\.example:4222/g, nats.address]);
  }
  if (text.includes("s3://")) {
    const s3 = await TestS3Server.start("minio");
    onTestFinished(() => s3.stop());
    const { accessKey, secretKey } = s3.credentials();
    writeFileSync(join(folder, "s3.access"), accessKey, { mode: 0o600 });
    writeFileSync(join(folder, "s3.secret"), secretKey, { mode: 0o600 });
    const url = `s3://${BUCKET}/blue?endpoint=http://${s3.address}`;
    places.push([/s3:\/\/films\/blue\?[^"\s]*/g, url]);
  }
  return {
    places: (block: string) => places.reduce((t, [from, to]) => t.replace(from, to), block),
  };
}

function typed(
  blocks: readonly string[],
  folder: string,
  env: NodeJS.ProcessEnv,
): Promise<string[]> {
  const script = blocks.map((block) => `${block}\necho; echo "${MARK}"`).join("\n");
  const child = spawn("bash", ["-euo", "pipefail", "-c", `${PRELUDE}\n${script}`], {
    // A group of its own: what it has started ends with it, also when the test has no more time.
    ...{ cwd: folder, env, detached: true },
    stdio: ["ignore", "pipe", "pipe"],
  });
  onTestFinished(() => {
    if (child.exitCode === null) process.kill(-child.pid!, "SIGKILL");
  });
  const said = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (text: string) => {
      said[name] += text;
    });
  }
  return new Promise((resolve, reject) => {
    child.on("close", (code) => {
      const parts = said.stdout.split(MARK);
      if (code === 0) resolve(parts.slice(0, -1));
      else {
        const at = blocks[parts.length - 1] ?? "";
        const last = [parts.at(-1)!.slice(-500), said.stderr.slice(-3_000)].join("\n");
        reject(new Error(`exit code ${code} in this block:\n${at}\n${last}`));
      }
    });
  });
}
