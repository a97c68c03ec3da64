/**
 * @file A pod of a rendered overlay as processes of this machine: its own commands, environment,
 * ConfigMaps and Secrets, with every path under a folder of the pod's own and every address on
 * loopback.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Container, environmentOf, type KubeObject } from "./overlays.js";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** What a machine is told that is not a cluster's. */
export interface Machine {
  /** Folder of all pods. */
  readonly folder: string;
  /** Every object of the overlay, with the Secrets and ConfigMaps that are made elsewhere. */
  readonly objects: readonly KubeObject[];
  /** The port of loopback that stands for a port of a pod. */
  readonly portOf: (pod: string, port: number) => number;
  /** Folders of programs that images have in their PATH. */
  readonly path: readonly string[];
  /** Settings that name what this machine has not. */
  readonly instead: Readonly<Record<string, string>>;
}

export class SimulatedPod {
  readonly name: string;
  readonly #machine: Machine;
  readonly #spec: KubeObject;
  #process: ChildProcess | null = null;
  #ended: Promise<string> = Promise.resolve("not started");

  /** @param ordinal of the pod in its StatefulSet */
  constructor(machine: Machine, set: KubeObject, ordinal: number) {
    this.#machine = machine;
    this.name = `${set.metadata.name}-${ordinal}`;
    this.#spec = set["spec"];
    for (const container of this.#containers) this.#mount(container);
  }

  /** Puts new ConfigMaps and Secrets in place, as the kubelet does: files that are mounted alone stay. */
  update(): void {
    for (const container of this.#containers) this.#mount(container, { isRunning: true });
  }

  get #containers(): Container[] {
    const { initContainers = [], containers } = this.#spec["template"].spec;
    return [...initContainers, ...containers];
  }

  get #main(): Container {
    return this.#spec["template"].spec.containers[0];
  }

  get logPath(): string {
    return join(this.#machine.folder, `${this.name}.log`);
  }

  /** Runs what runs before the container, then starts it and what follows its start. */
  async start(): Promise<void> {
    for (const container of this.#spec["template"].spec.initContainers ?? []) {
      await this.#runToEnd(container, container.command ?? []);
    }
    const { command = [], args = [], lifecycle } = this.#main;
    this.#process = this.#spawn(this.#main, [...command, ...args]);
    this.#ended = endOf(this.#process);
    const follow = lifecycle?.postStart?.exec?.command;
    if (follow) await this.#runToEnd(this.#main, follow);
  }

  /** As a rollout ends a pod; resolves with how it ended, as "exit code 0". */
  terminate(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<string> {
    this.#process?.kill(signal);
    return this.#ended;
  }

  get hasEnded(): boolean {
    return this.#process?.exitCode !== null || this.#process.signalCode !== null;
  }

  /** The address that a named port of the pod has here. */
  address(portName: string): string {
    const port = this.#main.ports?.find(({ name }) => name === portName)?.containerPort ?? 0;
    return `127.0.0.1:${this.#machine.portOf(this.name, port)}`;
  }

  /** How the kubelet asks whether it is ready. */
  get readinessProbe(): { path?: string; port: string; scheme?: string } {
    const { httpGet, tcpSocket } = this.#main["readinessProbe"];
    return httpGet ?? tcpSocket;
  }

  lastLines(): string {
    return readFileSync(this.logPath, "utf8").split("\n").slice(-15).join("\n");
  }

  async #runToEnd(container: Container, command: readonly string[]): Promise<void> {
    const how = await endOf(this.#spawn(container, command));
    if (how === "exit code 0") return;
    throw new Error(`${command.join(" ")} of ${this.name}: ${how}\n${this.lastLines()}`);
  }

  #spawn(container: Container, command: readonly string[]): ChildProcess {
    const [program = "", ...args] = command.map((word) => this.#here(word, container));
    const log = openSync(this.logPath, "a");
    const child = spawn(program === "node" ? process.execPath : program, args, {
      cwd: root,
      env: this.#environment(container),
      stdio: ["ignore", log, log],
    });
    closeSync(log);
    return child;
  }

  #environment(container: Container): Record<string, string> {
    const { path, instead, objects } = this.#machine;
    const env: Record<string, string> = {
      PATH: [...path, process.env["PATH"]].join(delimiter),
      TMPDIR: this.#path("/tmp"),
    };
    const fields: Readonly<Record<string, string>> = {
      "metadata.name": this.name,
      "status.podIP": "127.0.0.1",
    };
    for (const [name, { value, valueFrom }] of environmentOf(container, objects)) {
      const text = valueFrom ? fields[valueFrom.fieldRef?.fieldPath ?? ""] : value;
      const expanded = (text ?? "").replace(/\$\((\w+)\)/g, (_, other: string) => env[other] ?? "");
      env[name] = instead[name] ?? this.#here(expanded, container);
    }
    return env;
  }

  /** A text of the manifest with this machine's paths and addresses. */
  #here(text: string, container: Container): string {
    const paths = [...new Set(container.volumeMounts?.map(({ mountPath }) => mountPath))];
    const local = paths
      .map((mountPath) => mountPath.replace(/\/ca\.crt$|\/tls\.(crt|key)$/, ""))
      .sort((a, b) => b.length - a.length)
      .reduce(
        (changed, path) =>
          changed.replace(
            new RegExp(`(?<=^|[=:\\s"])${path}(?=/|$|[\\s"&])`, "g"),
            `\u0000${path.slice(1)}`,
          ),
        text,
      );
    return this.#onLoopback(local).replaceAll("\u0000", `${this.#path("/")}`);
  }

  #onLoopback(text: string): string {
    const port = (pod: string, number: string) => this.#machine.portOf(pod, Number(number));
    return text
      .replace(
        /(?:([a-z0-9-]+-\d+)\.)?([a-z0-9-]+)\.renderfarm\.svc\.cluster\.local:(\d+)/g,
        (_, pod: string | undefined, service: string, number: string) =>
          `127.0.0.1:${port(pod ?? `${service}-0`, number)}`,
      )
      .replace(
        /127\.0\.0\.1:(\d+)\.(\d+)/g,
        (_, a: string, b: string) => `127.0.0.1:${port(this.name, a)}.${port(this.name, b)}`,
      )
      .replace(/0\.0\.0\.0:(\d+)/g, (_, number: string) => `127.0.0.1:${port(this.name, number)}`)
      .replace(
        /(?<=[a-z0-9]\.port(?:\.grpc)?=)([1-9]\d*)/g,
        (number) => `${port(this.name, number)}`,
      )
      .replace(
        /^127\.0\.0\.1:(\d+)$/,
        (_, number: string) => `127.0.0.1:${port(this.name, number)}`,
      )
      .replace("-ip.bind=0.0.0.0", "-ip.bind=127.0.0.1");
  }

  #path(inPod: string): string {
    return join(this.#machine.folder, this.name, inPod);
  }

  /** Files of ConfigMaps and Secrets, folders for everything else. */
  #mount(container: Container, { isRunning = false } = {}): void {
    const { volumes = [] } = this.#spec["template"].spec;
    mkdirSync(this.#path("/tmp"), { recursive: true });
    for (const { name, mountPath, subPath, subPathExpr } of container.volumeMounts ?? []) {
      const volume = volumes.find((each: { name: string }) => each.name === name) ?? {};
      const files = this.#filesOf(volume);
      if (files === null) {
        mkdirSync(this.#path(mountPath), { recursive: true });
        continue;
      }
      const only = subPath ?? subPathExpr?.replace("$(RENDERFARM_NODE_ID)", this.name);
      if (isRunning && only !== undefined) continue;
      for (const [file, text] of Object.entries(files)) {
        if (only !== undefined && file !== only) continue;
        const path = this.#path(only === undefined ? join(mountPath, file) : mountPath);
        mkdirSync(dirname(path), { recursive: true });
        writeFileSync(path, volume.configMap ? this.#here(text, container) : text, { mode: 0o600 });
      }
    }
  }

  #filesOf(volume: Partial<KubeObject>): Record<string, string> | null {
    const { secret, configMap } = volume;
    if (!secret && !configMap) return null;
    const [kind, name] = secret ? ["Secret", secret.secretName] : ["ConfigMap", configMap.name];
    const found = this.#machine.objects.find((o) => o.kind === kind && o.metadata.name === name);
    if (!found) throw new Error(`${this.name} mounts the ${kind} ${name}, which nobody made`);
    return found["stringData"] ?? found["data"];
  }
}

function endOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("exit", (code, signal) => resolve(signal ?? `exit code ${code}`));
  });
}
