/** @file A real nats-server on loopback, with TLS, a user for each role and JetStream in a folder. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, type NatsConnection, nkeyAuthenticator } from "nats";
import { systemClock } from "../../shared/adapters/clock/system-clock.js";
import { NatsClient, type NatsSettings } from "../../shared/adapters/nats/nats-client.js";
import type { FarmNames, NatsRole } from "../../shared/adapters/nats/nats-names.js";
import { type Log, silentLog } from "../../shared/ports/log.js";
import { freePort } from "./free-ports.js";
import { type NatsConfig, natsConfigText } from "./nats-config.js";
import { makeNatsSecrets, type NatsSecrets } from "./nats-secrets.js";
import { serverPath } from "./server-path.js";

const READY_MS_MAX = 30_000;

/** The farm that the users of a test's server may work for. */
export const TEST_FARM: FarmNames = { prefix: "rf", farm: "test" };

/** Null where there is no server and none can be installed. */
export const natsServerPath: string | null = await serverPath("nats-server");

export interface NatsServerOptions {
  /** The farms that its users may work for; TEST_FARM unless told. */
  readonly farms?: readonly FarmNames[];
  /** Bytes of a message; 8 MB unless told. */
  readonly maxPayload?: number;
  /** Whether clients have to show a certificate. */
  readonly asksForCertificates?: boolean;
}

type Place = Pick<NatsConfig, "port" | "storeDir" | "maxPayload" | "routePorts" | "name"> &
  Pick<NatsServerOptions, "asksForCertificates">;

export class TestNatsServer {
  readonly folder: string;
  readonly port: number;
  readonly #place: Place;
  /** What it shows now, and its clients do. */
  #secrets: NatsSecrets;
  #process: ChildProcess | null = null;
  #output = "";

  private constructor(folder: string, place: Place, secrets: NatsSecrets) {
    this.folder = folder;
    this.port = place.port;
    this.#place = place;
    this.#secrets = secrets;
  }

  /** Starts one; it listens when this resolves. */
  static async start(options: NatsServerOptions = {}): Promise<TestNatsServer> {
    const { farms = [TEST_FARM], ...rest } = options;
    const server = await TestNatsServer.#prepare(await makeNatsSecrets(farms), rest);
    await server.run();
    return server;
  }

  /** Starts three that keep streams together; they have elected who leads when this resolves. */
  static async startCluster(): Promise<readonly TestNatsServer[]> {
    const secrets = await makeNatsSecrets([TEST_FARM]);
    const ports = [await freePort(), await freePort(), await freePort()];
    const servers = await Promise.all(
      ports.map((own, i) => {
        const routePorts = [own, ...ports.filter((port) => port !== own)];
        return TestNatsServer.#prepare(secrets, { routePorts, name: `test-${i + 1}` });
      }),
    );
    await Promise.all(servers.map((server) => server.run()));
    const admin = await servers[0]!.connectAdmin();
    await untilElected(admin);
    await admin.close();
    return servers;
  }

  static async #prepare(
    secrets: NatsSecrets,
    rest: Omit<Place, "port" | "storeDir">,
  ): Promise<TestNatsServer> {
    const folder = await mkdtemp(join(tmpdir(), "nats-"));
    const place = { ...rest, port: await freePort(), storeDir: join(folder, "store") };
    const server = new TestNatsServer(folder, place, secrets);
    await server.#configure(secrets, [secrets]);
    return server;
  }

  /** Writes what the server reads when it starts, and when it is told to read again. */
  async #configure(shown: NatsSecrets, taken: readonly NatsSecrets[]): Promise<void> {
    const { asksForCertificates = false, ...place } = this.#place;
    const files = { certFile: join(this.folder, "server.crt"), keyFile: join(this.folder, "key") };
    const clientCaFile = join(this.folder, "clients.crt");
    await writeFile(files.certFile, shown.server.certificate);
    await writeFile(files.keyFile, shown.server.key, { mode: 0o600 });
    await writeFile(clientCaFile, taken.map(({ ca }) => ca).join(""));
    const users = taken.flatMap((each) => each.users);
    const asked = asksForCertificates ? { clientCaFile } : {};
    await writeFile(
      join(this.folder, "nats.conf"),
      natsConfigText({ ...place, ...files, ...asked, users }),
    );
  }

  /**
   * Shows another certificate, and takes the clients of these secrets and no others: whoever is
   * connected as a user that it does not know any more is cut off.
   */
  async changeSecrets(shown: NatsSecrets, taken: readonly NatsSecrets[]): Promise<void> {
    this.#secrets = shown;
    await this.#configure(shown, taken);
    const heard = this.#output.length;
    this.#process?.kill("SIGHUP");
    const deadlineMs = Date.now() + READY_MS_MAX;
    while (!this.#output.slice(heard).includes("Reloaded server configuration")) {
      if (Date.now() > deadlineMs) throw new Error(`no reload: ${this.#output}`);
      await sleep(20);
    }
  }

  get secrets(): NatsSecrets {
    return this.#secrets;
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
    return this.#secrets.seeds.get(role)!;
  }

  get ca(): string {
    return this.#secrets.ca;
  }

  settings(role: NatsRole, address = this.address): NatsSettings {
    const tls = this.#tls;
    return { servers: [address], role, seed: this.seedOf(role), tls, name: `test ${role}` };
  }

  connect(role: NatsRole, log: Log = silentLog): Promise<NatsClient> {
    return NatsClient.connect(this.settings(role), { clock: systemClock, log });
  }

  /** A connection that may do everything, which no program of a farm may. */
  connectAdmin(): Promise<NatsConnection> {
    const authenticator = nkeyAuthenticator(new TextEncoder().encode(this.#secrets.adminSeed));
    return connect({ servers: this.address, authenticator, tls: this.#tls });
  }

  get #tls(): { ca: string; cert?: string; key?: string } {
    const { certificate: cert, key } = this.#secrets.client;
    return { ca: this.#secrets.ca, ...(this.#place.asksForCertificates && { cert, key }) };
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
