/** @file An overlay's pods on this machine, started in the order in which they become ready. */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, statSync } from "node:fs";
import { Agent, request } from "node:https";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { fileURLToPath } from "node:url";
import { Client } from "minio";
import { parseAllDocuments } from "yaml";
import { freePort } from "../servers/free-ports.js";
import type { KubeObject } from "./overlays.js";
import { type Machine, SimulatedPod } from "./simulated-pod.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const READY_MS_MAX = 60_000;
const PROBE_PAUSE_MS = 100;

export interface ClusterOptions {
  readonly objects: readonly KubeObject[];
  /** Paths of the programs that images bring. */
  readonly programs: readonly string[];
  /** Folder of the checkpoint that is put into the store. */
  readonly checkpoint: string;
  /** Settings that name what this machine has not. */
  readonly instead: Readonly<Record<string, string>>;
}

export class SimulatedCluster {
  readonly pods = new Map<string, SimulatedPod>();
  readonly folder: string;
  /** Key of the user that the script made. */
  readonly token: string;
  readonly #objects: KubeObject[];

  private constructor(folder: string, token: string, objects: KubeObject[]) {
    this.folder = folder;
    this.token = token;
    this.#objects = objects;
  }

  static async start(options: ClusterOptions): Promise<SimulatedCluster> {
    const folder = realpathSync(mkdtempSync(join(tmpdir(), "cluster-")));
    const [secrets, token] = makeSecrets(folder);
    const manifest = run("checkpoint-manifest.mjs", [options.checkpoint]).objects;
    const objects = [...options.objects, ...secrets, ...manifest];
    const cluster = new SimulatedCluster(folder, token, objects);
    try {
      await cluster.#startPods(options);
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  secret(name: string): Readonly<Record<string, string>> {
    return this.#objects.find((o) => o.kind === "Secret" && o.metadata.name === name)![
      "stringData"
    ];
  }

  /** Runs the script again, as an operator does in time, and applies what it prints. */
  renewSecrets(): void {
    const [secrets] = makeSecrets(this.folder);
    for (const secret of secrets) {
      const { name } = secret.metadata;
      const at = this.#objects.findIndex((o) => o.kind === "Secret" && o.metadata.name === name);
      this.#objects[at] = secret;
    }
    for (const pod of this.pods.values()) pod.update();
  }

  /** Fingerprint of the certificate that a NATS server shows, once it has said hello in the open. */
  async shownBy(pod: SimulatedPod): Promise<string> {
    const [host = "", port] = pod.address("nats").split(":");
    const socket = createConnection({ host, port: Number(port) });
    await once(socket, "data");
    const secured = connectTls({ socket, rejectUnauthorized: false });
    await once(secured, "secureConnect");
    const { fingerprint256 } = secured.getPeerCertificate();
    secured.destroy();
    return fingerprint256;
  }

  pod(name: string): SimulatedPod {
    const found = this.pods.get(name);
    if (!found) throw new Error(`there is no pod ${name}; there are ${[...this.pods.keys()]}`);
    return found;
  }

  /** Until the pod's own readiness probe succeeds. */
  async ready(pod: SimulatedPod): Promise<void> {
    const { path, port } = pod.readinessProbe;
    const address = pod.address(port);
    const deadlineMs = Date.now() + READY_MS_MAX;
    while (!(path === undefined ? await connects(address) : await this.#answers(pod, path))) {
      if (pod.hasEnded || Date.now() > deadlineMs) {
        throw new Error(`${pod.name} does not become ready:\n${pod.lastLines()}`);
      }
      await sleep(PROBE_PAUSE_MS);
    }
  }

  /** Status and text of a GET of the pod's port for machines, with or without a certificate. */
  async get(pod: SimulatedPod, path: string, withCertificate: boolean): Promise<[number, string]> {
    const { "tls.crt": cert, "tls.key": key } = this.secret("metrics-client");
    const certificate = withCertificate ? { cert, key } : {};
    return httpsGet(`https://${pod.address("metrics")}${path}`, certificate);
  }

  /** The farm's own S3, as one of the users that the script made. */
  s3Client(user: string): Client {
    const { identities } = JSON.parse(this.secret("s3-server")["s3.json"] ?? "") as {
      identities: { name: string; credentials: { accessKey: string; secretKey: string }[] }[];
    };
    return new Client({
      endPoint: "127.0.0.1",
      port: Number(this.pod("s3-0").address("s3").split(":")[1]),
      useSSL: true,
      region: "us-east-1",
      ...identities.find(({ name }) => name === user)!.credentials[0],
      transportAgent: new Agent({ ca: this.secret("farm-ca")["ca.crt"] }),
    });
  }

  /** What a link gives to whoever has it. */
  getLink(url: string): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      request(url, { ca: this.secret("farm-ca")["ca.crt"] }, (response) => {
        const parts: Buffer[] = [];
        response.on("data", (part: Buffer) => parts.push(part));
        response.on("end", () => resolve(Buffer.concat(parts)));
      })
        .once("error", reject)
        .end();
    });
  }

  async stop(): Promise<void> {
    await Promise.all([...this.pods.values()].map((pod) => pod.terminate("SIGKILL")));
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #answers(pod: SimulatedPod, path: string): Promise<boolean> {
    const { scheme, port } = pod.readinessProbe;
    try {
      if (scheme === "HTTPS") return (await this.get(pod, path, false))[0] === 200;
      return (await fetch(`http://${pod.address(port)}${path}`)).ok;
    } catch {
      return false;
    }
  }

  async #startPods({ programs, checkpoint, instead, objects }: ClusterOptions): Promise<void> {
    const ports = new Map<string, number>();
    for (const pod of podsOf(objects)) {
      for (const port of ALL_PORTS) ports.set(`${pod.name} ${port}`, await freePort());
    }
    const machine: Machine = {
      folder: this.folder,
      objects: this.#objects,
      portOf: (pod, port) => ports.get(`${pod} ${port}`) ?? port,
      path: programs.map((program) => dirname(program)),
      instead,
    };
    for (const { set, ordinal, name } of podsOf(objects)) {
      this.pods.set(name, new SimulatedPod(machine, set, ordinal));
    }
    const start = async (which: RegExp) => {
      const chosen = [...this.pods.values()].filter(({ name }) => which.test(name));
      for (const pod of chosen) await pod.start();
      await Promise.all(chosen.map((pod) => this.ready(pod)));
    };
    await start(/^(s3|nats)-/);
    await this.#putCheckpoint(checkpoint);
    await start(/^coordinator-/);
    await start(/^node-/);
  }

  async #putCheckpoint(checkpoint: string): Promise<void> {
    const client = this.s3Client("operator");
    for (const path of filesIn(checkpoint)) {
      const name = `checkpoint/${relative(checkpoint, path)}`;
      await client.putObject("renderfarm-models", name, readFileSync(path));
    }
  }
}

/** Every port that a container of the overlays names or is told. */
const ALL_PORTS = [
  ...[7433, 7434, 9464, 4222, 6222, 8222, 8333, 18333],
  ...[9333, 19333, 8080, 18080, 8888, 18888],
];

function podsOf(objects: readonly KubeObject[]) {
  return objects
    .filter((o) => o.kind === "StatefulSet")
    .flatMap((set) =>
      Array.from({ length: set["spec"].replicas }, (_, ordinal) => ({
        ...{ set, ordinal },
        name: `${set.metadata.name}-${ordinal}`,
      })),
    );
}

function makeSecrets(folder: string): [objects: KubeObject[], token: string] {
  const args = ["--dir", join(folder, "operator"), "--nodes", "2"];
  const { objects, notes } = run("cluster-secrets.mjs", args);
  const [token] = /rf_\S+/.exec(notes) ?? [""];
  return [objects, token];
}

function run(script: string, args: readonly string[]): { objects: KubeObject[]; notes: string } {
  const notesPath = join(tmpdir(), `notes-${process.pid}-${script}`);
  const command = `exec "$0" "$@" 2> "${notesPath}"`;
  const program = [process.execPath, join(root, "scripts", script), ...args];
  const text = execFileSync("/bin/sh", ["-c", command, ...program], { encoding: "utf8" });
  const notes = readFileSync(notesPath, "utf8");
  rmSync(notesPath);
  return { objects: parseAllDocuments(text).map((d) => d.toJS() as KubeObject), notes };
}

function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((name) => join(folder, name))
    .filter((path) => statSync(path).isFile());
}

function connects(address: string): Promise<boolean> {
  const [host = "", port] = address.split(":");
  return new Promise((resolve) => {
    const socket = createConnection({ host, port: Number(port) });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

/** As the kubelet does: whoever answers is not checked. */
function httpsGet(
  url: string,
  certificate: { cert?: string | undefined; key?: string | undefined },
): Promise<[number, string]> {
  return new Promise((resolve, reject) => {
    const asked = request(url, { ...certificate, rejectUnauthorized: false }, (response) => {
      let text = "";
      response.on("data", (piece: Buffer) => {
        text += piece.toString();
      });
      response.on("end", () => resolve([response.statusCode ?? 0, text]));
    });
    asked.once("error", reject);
    asked.end();
  });
}
