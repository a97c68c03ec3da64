/** @file Processes that cannot start say why, by name, and leave what runs alone. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test } from "vitest";
import { FarmClient } from "../../client/farm-client.js";
import { StubS3 } from "../servers/stub-s3.js";
import { CHECKPOINT } from "./farm-harness.js";

const ENTRIES = {
  coordinator: fileURLToPath(new URL("../../dist/coordinator/main.js", import.meta.url)),
  node: fileURLToPath(new URL("../../dist/gpu-node/main.js", import.meta.url)),
};

/** Files that a process may have open: as few as loading its own modules, all at once, leaves alone. */
const FDS = 160;

/** Not even by root, on Linux and on macOS. */
const NOT_WRITABLE = existsSync("/sys/kernel") ? "/sys/kernel" : "/System";

function scratch(): string {
  const folder = mkdtempSync(join(tmpdir(), "farm-start-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

interface ProgramOptions {
  /** Files that it may have open, 0: as many as it wants. */
  readonly fdsMax?: number;
  /** Variables beside our own. */
  readonly env?: Readonly<Record<string, string>>;
}

/** One of our programs, with everything it says on stderr. */
class Program {
  readonly child: ChildProcess;
  readonly ended: Promise<number | null>;
  text = "";

  constructor(
    entry: keyof typeof ENTRIES,
    args: readonly string[],
    { fdsMax = 0, env = {} }: ProgramOptions = {},
  ) {
    const command = [process.execPath, ENTRIES[entry], ...args];
    const limited = ["sh", "-c", `ulimit -n ${fdsMax}; exec "$@"`, "sh", ...command];
    const [program, ...rest] = fdsMax > 0 ? limited : command;
    this.child = spawn(program!, rest, {
      stdio: ["ignore", "ignore", "pipe"],
      env: { ...process.env, ...env },
    });
    this.child.stderr!.on("data", (piece: Buffer) => {
      this.text += piece.toString();
    });
    this.ended = once(this.child, "close").then(([code]) => code as number | null);
    onTestFinished(async () => {
      this.child.kill("SIGKILL");
      await this.ended;
    });
  }

  /** The first thing it says that matches. */
  async said(pattern: RegExp): Promise<string> {
    for (;;) {
      const found = pattern.exec(this.text);
      if (found) return found[1] ?? found[0];
      const more = once(this.child.stderr!, "data").then(() => "more");
      const how = await Promise.race([more, this.ended.then(() => "ended")]);
      if (how === "ended" && !pattern.test(this.text)) throw new Error(`ended: ${this.text}`);
    }
  }
}

const coordinator = (data: string, listen = "127.0.0.1:0") =>
  new Program("coordinator", ["--listen", listen, "--data", data]);

describe("a coordinator", () => {
  test("on the data of another one: the second is refused, the first goes on", async () => {
    const data = scratch();
    const first = coordinator(data);
    const address = await first.said(/"address":"([^"]+)"/);
    const second = coordinator(data);
    expect(await second.ended).toBe(1);
    expect(second.text).toContain(`process ${first.child.pid}, which is running`);
    expect(second.text).toContain("stop that one first");

    const client = new FarmClient(address);
    onTestFinished(() => client.close());
    expect((await client.getFarm()).nodes).toEqual([]);
    first.child.kill("SIGTERM");
    expect(await first.ended).toBe(0);
    const third = coordinator(data);
    await third.said(/"msg":"listening"/);
  });

  test("on the address of another one", async () => {
    const first = coordinator(scratch());
    const address = await first.said(/"address":"([^"]+)"/);
    const second = coordinator(scratch(), address);
    expect(await second.ended).toBe(1);
    expect(second.text).toContain(`cannot listen on ${address}`);
  });

  const folders: [name: string, data: () => string, says: RegExp][] = [
    [
      "in a folder that cannot be made",
      () => {
        const file = join(scratch(), "file");
        writeFileSync(file, "");
        return join(file, "data");
      },
      /ENOTDIR/,
    ],
    ["in a folder that cannot be written", () => NOT_WRITABLE, /EACCES|EROFS|EPERM/],
    [
      "whose journal is no file",
      () => {
        const data = scratch();
        mkdirSync(join(data, "journal"));
        writeFileSync(join(data, "blobs"), "");
        return data;
      },
      /blobs|journal/,
    ],
  ];
  test.each(folders)("%s", async (_name, data, says) => {
    const started = coordinator(data());
    expect(await started.ended).toBe(1);
    expect(started.text).toMatch(says);
    expect(started.text).toMatch(/"code":"[a-z-]+"/);
  });

  test("on a store that ignores If-None-Match", async () => {
    const store = await StubS3.start();
    onTestFinished(() => store.stop());
    store.isConditional = false;
    const blobs = `s3://stub/p?endpoint=http://${store.address}`;
    const args = ["--listen", "127.0.0.1:0", "--data", scratch(), "--blobs", blobs];
    const env = { RENDERFARM_S3_ACCESS_KEY: "a", RENDERFARM_S3_SECRET_KEY: "s" };
    const started = new Program("coordinator", args, { env });
    expect(await started.ended).toBe(2);
    expect(started.text).toContain('ignores \\"If-None-Match: *\\"');
    expect(store.objects.size).toBe(0);
  });

  test("that runs out of files refuses connections, and takes them again later", async () => {
    const args = ["--listen", "127.0.0.1:0", "--data", scratch()];
    const started = new Program("coordinator", args, { fdsMax: FDS });
    const address = await started.said(/"address":"([^"]+)"/);
    const port = Number(address.split(":")[1]);
    const sockets: Socket[] = Array.from({ length: 2 * FDS }, () => connect(port, "127.0.0.1"));
    onTestFinished(() => sockets.forEach((socket) => void socket.destroy()));
    for (const socket of sockets) socket.on("error", () => {});
    await Promise.all(
      sockets.map((socket) => Promise.race([once(socket, "connect"), once(socket, "close")])),
    );
    for (const socket of sockets) socket.destroy();
    const client = new FarmClient(address);
    onTestFinished(() => client.close());
    expect((await client.getFarm()).nodes).toEqual([]);
    expect(started.child.exitCode).toBeNull();
  });
});

describe("a node", () => {
  const args = (blobDir: string, ...more: string[]) => [
    ...["--coordinator", "127.0.0.1:1", "--checkpoint", CHECKPOINT, "--blob-dir", blobDir],
    ...more,
  ];

  test("without its blob folder", async () => {
    const missing = join(scratch(), "nothing");
    const node = new Program("node", args(missing));
    expect(await node.ended).toBe(2);
    expect(node.text).toContain(`--blobs: ${missing} is not a folder`);
  });

  test("whose bus has no port", async () => {
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    onTestFinished(() => void server.close());
    const taken = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const node = new Program("node", args(scratch(), "--bus-listen", taken));
    expect(await node.ended).toBe(1);
    expect(node.text).toContain(`tensor bus: cannot listen on ${taken} (EADDRINUSE)`);
  });

  test("without a coordinator dials until it is stopped", async () => {
    const node = new Program("node", args(scratch()));
    await node.said(/the coordinator cannot be reached; dialling again/);
    node.child.kill("SIGTERM");
    expect(await node.ended).toBe(0);
  });
});

test("a bench with a wrong flag says which are right, and exits as for bad usage", async () => {
  const main = fileURLToPath(new URL("../../dist/bench/main.js", import.meta.url));
  const wrong: [flag: string, said: RegExp][] = [
    ["--provider=none", /^--provider: 'none' is unknown; legal are cpu, .*\n$/],
    ["--nope", /^Unknown option '--nope'.*\n$/],
  ];
  for (const [flag, said] of wrong) {
    const { status, stderr } = spawnSync(process.execPath, [main, "gpu", flag], {
      encoding: "utf8",
    });
    expect(status).toBe(2);
    expect(stderr).toMatch(said);
  }
});
