/** @file A real nats-server on loopback, with TLS, a user for each role and JetStream in a folder. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, type NatsConnection, nkeyAuthenticator, nkeys } from "nats";
import { systemClock } from "../../shared/adapters/clock/system-clock.js";
import { NatsClient, type NatsSettings } from "../../shared/adapters/nats/nats-client.js";
import {
  type FarmNames,
  type NatsRole,
  type RolePermissions,
  rolePermissions,
} from "../../shared/adapters/nats/nats-names.js";
import { createAuthority, issueLeaf } from "../../shared/adapters/tls/authority.js";
import { type Log, silentLog } from "../../shared/ports/log.js";
import { type NatsConfig, type NatsUser, natsConfigText } from "./nats-config.js";
import { serverPath } from "./server-path.js";

const ROLES: readonly NatsRole[] = ["coordinator", "node", "observer"];
const READY_MS_MAX = 30_000;
const DAY_MS = 86_400_000;

/** The farm that the users of a test's server may work for. */
export const TEST_FARM: FarmNames = { prefix: "rf", farm: "test" };

/** Null where there is no server and none can be installed. */
export const natsServerPath: string | null = await serverPath("nats-server");

export interface NatsServerOptions {
  /** The farms that its users may work for; TEST_FARM unless told. */
  readonly farms?: readonly FarmNames[];
  /** Bytes of a message; 8 MB unless told. */
  readonly maxPayload?: number;
}

export class TestNatsServer {
  readonly folder: string;
  readonly port: number;
  /** Who signed the certificates of all servers of its cluster. */
  #ca: string;
  readonly #seeds: ReadonlyMap<NatsRole, string>;
  readonly #adminSeed: string;
  #process: ChildProcess | null = null;
  #output = "";

  private constructor(
    folder: string,
    port: number,
    secrets: { ca: string; seeds: ReadonlyMap<NatsRole, string>; adminSeed: string },
  ) {
    this.folder = folder;
    this.port = port;
    this.#ca = secrets.ca;
    this.#seeds = secrets.seeds;
    this.#adminSeed = secrets.adminSeed;
  }

  /** Starts one; it listens when this resolves. */
  static async start(options: NatsServerOptions = {}): Promise<TestNatsServer> {
    const { farms = [TEST_FARM], ...rest } = options;
    const server = await TestNatsServer.#prepare(await makeUsers(farms), rest);
    await server.run();
    return server;
  }

  /** Starts three that keep streams together; they have elected who leads when this resolves. */
  static async startCluster(): Promise<readonly TestNatsServer[]> {
    const users = await makeUsers([TEST_FARM]);
    const ports = [await freePort(), await freePort(), await freePort()];
    const servers = await Promise.all(
      ports.map((own, i) => {
        const routePorts = [own, ...ports.filter((port) => port !== own)];
        return TestNatsServer.#prepare(users, { routePorts, name: `test-${i + 1}` });
      }),
    );
    const roots = servers.map((server) => server.ca).join("");
    for (const server of servers) server.#ca = roots;
    await Promise.all(servers.map((server) => server.run()));
    const admin = await servers[0]!.connectAdmin();
    await untilElected(admin);
    await admin.close();
    return servers;
  }

  static async #prepare(
    { users, seeds, adminSeed }: Users,
    rest: Pick<NatsConfig, "maxPayload" | "routePorts" | "name">,
  ): Promise<TestNatsServer> {
    const folder = await mkdtemp(join(tmpdir(), "nats-"));
    const { files, ca } = await makeCertificate(folder);
    const port = await freePort();
    const storeDir = join(folder, "store");
    const config = natsConfigText({ ...rest, ...files, port, storeDir, users });
    await writeFile(join(folder, "nats.conf"), config);
    return new TestNatsServer(folder, port, { ca, seeds, adminSeed });
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** Where JetStream keeps its streams. */
  get storeDir(): string {
    return join(this.folder, "store");
  }

  /** What the server has said on stderr so far. */
  get output(): string {
    return this.#output;
  }

  seedOf(role: NatsRole): string {
    return this.#seeds.get(role)!;
  }

  get ca(): string {
    return this.#ca;
  }

  settings(role: NatsRole, address = this.address): NatsSettings {
    const tls = { ca: this.#ca };
    return { servers: [address], role, seed: this.seedOf(role), tls, name: `test ${role}` };
  }

  connect(role: NatsRole, log: Log = silentLog): Promise<NatsClient> {
    return NatsClient.connect(this.settings(role), { clock: systemClock, log });
  }

  /** A connection that may do everything, which no program of a farm may. */
  connectAdmin(): Promise<NatsConnection> {
    const authenticator = nkeyAuthenticator(new TextEncoder().encode(this.#adminSeed));
    return connect({ servers: this.address, authenticator, tls: { ca: this.#ca } });
  }

  /** Starts the server, again after it was killed; resolves once it answers. */
  async run(): Promise<void> {
    const args = ["-c", join(this.folder, "nats.conf")];
    const child = spawn(natsServerPath!, args, { stdio: ["ignore", "ignore", "pipe"] });
    this.#process = child;
    child.stderr.on("data", (piece: Buffer) => {
      this.#output = (this.#output + piece.toString()).slice(-100_000);
    });
    const ended = once(child, "exit").then(() => {
      throw new Error(`nats-server ended: ${this.#output}`);
    });
    ended.catch(() => {});
    const options = { clock: systemClock, log: silentLog, connectMs: READY_MS_MAX };
    const client = await Promise.race([
      NatsClient.connect(this.settings("observer"), options),
      ended,
    ]);
    await client.close();
  }

  /** As a crash of its machine; resolves once it is gone. */
  async kill(): Promise<void> {
    const child = this.#process;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
  }

  /** SIGSTOP or SIGCONT. */
  signal(signal: "SIGSTOP" | "SIGCONT"): void {
    this.#process?.kill(signal);
  }

  /** Ends the server and removes its folder. */
  async close(): Promise<void> {
    await this.kill();
    await rm(this.folder, { recursive: true, force: true });
  }
}

function permissionsFor(role: NatsRole, farms: readonly FarmNames[]): RolePermissions {
  const each = farms.map((names) => rolePermissions(role, names));
  return {
    publish: [...new Set(each.flatMap(({ publish }) => publish))],
    subscribe: [...new Set(each.flatMap(({ subscribe }) => subscribe))],
  };
}

interface Users {
  readonly users: readonly NatsUser[];
  readonly seeds: ReadonlyMap<NatsRole, string>;
  /** Of a user who may do everything, which no program of a farm may. */
  readonly adminSeed: string;
}

async function makeUsers(farms: readonly FarmNames[]): Promise<Users> {
  const keys = ROLES.map((role) => ({ role, pair: nkeys.createUser() }));
  const admin = nkeys.createUser();
  const everything = { publish: [">"], subscribe: [">"] };
  const users = [
    ...keys.map(({ role, pair }) => ({
      nkey: pair.getPublicKey(),
      permissions: permissionsFor(role, farms),
    })),
    { nkey: admin.getPublicKey(), permissions: everything },
  ];
  const textOf = (seed: Uint8Array) => new TextDecoder().decode(seed);
  const seeds = new Map(keys.map(({ role, pair }) => [role, textOf(pair.getSeed())]));
  return { users, seeds, adminSeed: textOf(admin.getSeed()) };
}

/** JetStream answers once the servers have elected a leader. */
async function untilElected(admin: NatsConnection): Promise<void> {
  const deadlineMs = Date.now() + READY_MS_MAX;
  for (;;) {
    try {
      await (await admin.jetstreamManager({ timeout: 1_000 })).getAccountInfo();
      return;
    } catch (error) {
      if (Date.now() > deadlineMs) throw error;
      await sleep(100);
    }
  }
}

/** A certificate for loopback, signed by a root of its own. */
async function makeCertificate(folder: string): Promise<{
  readonly files: { readonly certFile: string; readonly keyFile: string };
  readonly ca: string;
}> {
  const nowMs = Date.now();
  const validity = { notBefore: new Date(nowMs - DAY_MS), notAfter: new Date(nowMs + DAY_MS) };
  const root = await createAuthority("test", validity);
  const identity = { farm: "test", role: "coordinator", name: "nats" } as const;
  const hosts = ["127.0.0.1", "localhost"];
  const leaf = await issueLeaf(root, { ...validity, identity, hosts });
  const files = { certFile: join(folder, "server.crt"), keyFile: join(folder, "server.key") };
  await writeFile(files.certFile, leaf.certificate);
  await writeFile(files.keyFile, leaf.key, { mode: 0o600 });
  return { files, ca: root.certificate };
}

/** A port of this machine that nobody listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
