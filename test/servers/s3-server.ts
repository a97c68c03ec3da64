/**
 * @file Real S3 servers on loopback ports, each in a folder of its own: MinIO and SeaweedFS.
 *
 * SeaweedFS takes identities from a file; MinIO's have temporary keys, see minio-users.ts.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "minio";
import type { S3KeyPair, S3Location } from "../../shared/adapters/s3/s3-location.js";
import { freePorts } from "./free-ports.js";
import { MinioUsers } from "./minio-users.js";
import { serverPath } from "./server-path.js";
import type { ServerTls } from "./server-tls.js";

export type S3ServerKind = "minio" | "seaweedfs";

/** What a user may do, in the words of either server. */
export interface S3Identity {
  /** SeaweedFS's: "Read:bucket/prefix". */
  readonly actions: readonly string[];
  /** S3's, which MinIO takes. */
  readonly policy: object;
}

type S3Identities = Readonly<Record<string, S3Identity>>;

export interface S3ServerOptions {
  readonly tls?: ServerTls;
  /** Where the server keeps its data; default: a new folder, removed at the end. */
  readonly dataFolder?: string;
  /** Programs that start the server and become it, as a room has them. */
  readonly launcher?: readonly string[];
  /** Users beside the administrator by name; MinIO has them without TLS only. */
  readonly identities?: S3Identities;
}

/** The bucket that every server of a test has. */
export const BUCKET = "farm-test";
const READY_MS_MAX = 60_000;
const READY_PAUSE_MS = 100;

export class TestS3Server {
  readonly kind: S3ServerKind;
  readonly folder: string;
  readonly dataFolder: string;
  #tls: ServerTls | null = null;
  /** Of each user by name. */
  readonly #keys: Map<string, S3KeyPair>;
  readonly #minioUsers: MinioUsers | null;
  /** With what it is started by. */
  readonly #command: readonly string[];
  readonly #ports: readonly number[];
  #process: ChildProcess | null = null;
  #output = "";

  private constructor(
    kind: S3ServerKind,
    program: string,
    parts: {
      readonly folder: string;
      readonly ports: readonly number[];
      readonly options: S3ServerOptions;
      readonly minioUsers: MinioUsers | null;
    },
  ) {
    const { folder, ports, options, minioUsers } = parts;
    this.kind = kind;
    this.folder = folder;
    this.dataFolder = options.dataFolder ?? join(folder, "data");
    this.#command = [...(options.launcher ?? []), program];
    this.#ports = ports;
    this.#minioUsers = minioUsers;
    const names = ["admin", ...(minioUsers ? [] : Object.keys(options.identities ?? {}))];
    this.#keys = new Map(names.map((name) => [name, newKeys()]));
  }

  /** Starts one with an empty bucket; it answers when this resolves. */
  static async start(kind: S3ServerKind, options: S3ServerOptions = {}): Promise<TestS3Server> {
    const program = await serverPath(kind);
    if (program === null) throw new Error(`there is no ${kind}`);
    const folder = await mkdtemp(join(tmpdir(), `${kind}-`));
    const ports = await freePorts(kind === "minio" ? 1 : 8);
    const { identities = {} } = options;
    const hasMinioUsers = kind === "minio" && Object.keys(identities).length > 0;
    const minioUsers = hasMinioUsers ? await MinioUsers.start() : null;
    const server = new TestS3Server(kind, program, { folder, ports, options, minioUsers });
    await mkdir(server.dataFolder, { recursive: true });
    await mkdir(join(folder, "certs"));
    if (options.tls) await server.useTls(options.tls);
    await writeFile(join(folder, "s3.json"), server.#seaweedIdentities(identities));
    await server.run();
    for (const [name, { policy }] of minioUsers ? Object.entries(identities) : []) {
      server.#keys.set(name, await minioUsers!.keysOf(name, `http://${server.address}`, policy));
    }
    return server;
  }

  get address(): string {
    return `127.0.0.1:${this.#ports[0]}`;
  }

  /** @param address where to reach it instead, for a proxy */
  location(address = this.address, prefix = "farm"): S3Location {
    const endpoint = `${this.#tls ? "https" : "http"}://${address}`;
    const rest = { region: "us-east-1", style: "path", ca: this.#tls?.ca ?? null } as const;
    return { bucket: BUCKET, prefix, endpoint, publicEndpoint: endpoint, ...rest };
  }

  credentials(identity = "admin"): S3KeyPair {
    return this.#keys.get(identity)!;
  }

  /** Starts the server, again after it was killed; resolves once it takes requests. */
  async run(): Promise<void> {
    const [args, env] = this.kind === "minio" ? this.#minioCommand() : this.#seaweedCommand();
    const [program, ...before] = this.#command;
    const child = spawn(program!, [...before, ...args], {
      cwd: this.folder,
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#process = child;
    const keep = (text: Buffer) => {
      this.#output = (this.#output + text.toString()).slice(-20_000);
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    await this.#untilReady();
  }

  /** Another certificate, shown from the next start on. */
  async useTls(tls: ServerTls): Promise<void> {
    this.#tls = tls;
    await writeFile(join(this.folder, "certs", "public.crt"), tls.certificate);
    await writeFile(join(this.folder, "certs", "private.key"), tls.key);
  }

  get isRunning(): boolean {
    return this.#process?.exitCode === null && this.#process.signalCode === null;
  }

  async kill(signal: NodeJS.Signals): Promise<void> {
    const child = this.#process;
    if (!child || !this.isRunning) return;
    const ended = once(child, "exit");
    child.kill(signal);
    await ended;
  }

  /** Stands still, as a machine that swaps does; `signal("SIGCONT")` lets it go on. */
  signal(signal: "SIGSTOP" | "SIGCONT"): void {
    this.#process?.kill(signal);
  }

  async stop(): Promise<void> {
    this.signal("SIGCONT");
    await this.kill("SIGKILL");
    await this.#minioUsers?.stop();
    await rm(this.folder, { recursive: true, force: true });
  }

  #minioCommand(): [string[], Record<string, string>] {
    const args = ["server", this.dataFolder, "--address", this.address];
    const { accessKey, secretKey } = this.credentials();
    return [
      [...args, "--certs-dir", join(this.folder, "certs"), "--quiet"],
      {
        ...{ MINIO_ROOT_USER: accessKey, MINIO_ROOT_PASSWORD: secretKey },
        // CI: takes a folder of the system's disk. No console, no call home.
        ...{ MINIO_CI_CD: "1", MINIO_BROWSER: "off", MINIO_UPDATE: "off" },
        ...this.#minioUsers?.env,
      },
    ];
  }

  #seaweedCommand(): [string[], Record<string, string>] {
    const [s3, s3Grpc, master, masterGrpc, volume, volumeGrpc, filer, filerGrpc] = this.#ports;
    const certs = join(this.folder, "certs");
    const args = [
      "server",
      `-dir=${this.dataFolder}`,
      ...["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false"],
      ...[`-master.port=${master}`, `-master.port.grpc=${masterGrpc}`],
      ...[`-volume.port=${volume}`, `-volume.port.grpc=${volumeGrpc}`],
      // Small volumes, so that a full disk shows soon, and room for the few that a test needs.
      ...["-volume.max=20", "-master.volumeSizeLimitMB=128"],
      ...["-filer", `-filer.port=${filer}`, `-filer.port.grpc=${filerGrpc}`],
      `-filer.localSocket=${join(this.folder, "filer.sock")}`,
      ...["-s3", `-s3.port=${s3}`, `-s3.port.grpc=${s3Grpc}`, "-s3.iam=false"],
      ...["-s3.port.iceberg=0", "-s3.port.lance=0", `-s3.config=${join(this.folder, "s3.json")}`],
      `-s3.localSocket=${join(this.folder, "s3.sock")}`,
    ];
    const tls = [
      `-s3.cert.file=${join(certs, "public.crt")}`,
      `-s3.key.file=${join(certs, "private.key")}`,
    ];
    return [[...args, ...(this.#tls ? tls : [])], {}];
  }

  #seaweedIdentities(identities: S3Identities): string {
    const entries = [...this.#keys].map(([name, { accessKey, secretKey }]) => ({
      ...{ name, credentials: [{ accessKey, secretKey }] },
      actions: identities[name]?.actions ?? ["Admin", "Read", "Write", "List", "Tagging"],
    }));
    return JSON.stringify({ identities: entries });
  }

  /** Ready is a server whose bucket is there: it has answered a signed request that writes. */
  async #untilReady(): Promise<void> {
    const { accessKey, secretKey } = this.credentials();
    const { endpoint, region } = this.location();
    const { port, hostname } = new URL(endpoint);
    const client = new Client({
      ...{ endPoint: hostname, port: Number(port), useSSL: this.#tls !== null },
      ...{ region, accessKey, secretKey, retryOptions: { disableRetry: true } },
      ...(this.#tls ? { transportAgent: await agentFor(this.#tls.ca) } : {}),
    });
    const deadlineMs = Date.now() + READY_MS_MAX;
    for (;;) {
      try {
        if (!(await client.bucketExists(BUCKET))) await client.makeBucket(BUCKET);
        await client.putObject(BUCKET, "ready", Buffer.from("ready"));
        return;
      } catch (error) {
        if (!this.isRunning || Date.now() > deadlineMs) {
          const text = `${this.kind} does not start: ${String(error)}\n${this.#output}`;
          throw new Error(text, { cause: error });
        }
        await sleep(READY_PAUSE_MS);
      }
    }
  }
}

async function agentFor(ca: string): Promise<import("node:https").Agent> {
  const { Agent } = await import("node:https");
  return new Agent({ ca });
}

function newKeys(): S3KeyPair {
  const [accessKey, secretKey] = [randomBytes(8), randomBytes(20)].map((b) => b.toString("hex"));
  return { kind: "keys", accessKey: accessKey!, secretKey: secretKey!, sessionToken: null };
}
