/**
 * @file A secured coordinator in this process, with a clock that only moves when told to: for tests of
 * who may do what.
 */
import type { EventEmitter } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  Client,
  Metadata,
  type MethodDefinition,
  type ServiceError,
  type status,
} from "@grpc/grpc-js";
import pino from "pino";
import type { Access } from "../../coordinator/access/access.js";
import { openAccess } from "../../coordinator/access/open-access.js";
import { type Coordinator, startCoordinator } from "../../coordinator/coordinator.js";
import { POLICY_DEFAULT } from "../../coordinator/shell/farm-loop.js";
import { type ApiKey, newApiKey } from "../../shared/access/api-key.js";
import { writeKeyFile } from "../../shared/access/key-file.js";
import type { Quota } from "../../shared/access/quota.js";
import type { Scope } from "../../shared/access/scopes.js";
import { ManualClock } from "../../shared/adapters/clock/manual-clock.js";
import { MemoryJournal } from "../../shared/adapters/memory/memory-journal.js";
import { AuthorityFolder, type Issued } from "../../shared/adapters/tls/authority-folder.js";
import { secureChannel } from "../../shared/adapters/tls/grpc-credentials.js";
import { silentLog } from "../../shared/ports/log.js";
import { createMemoryBlobs, type MemoryBlobs } from "../golden/memory-blobs.js";
import { node } from "../plan/farm-world.js";

const HOUR_MS = 3_600_000;
/** The coordinator looks at its files each second, and a failed call is forgiven each second. */
const LOOK_MS = 1_500;

/** What a call shows. */
export interface Shows {
  readonly token?: string;
  readonly certificate?: Issued;
}

/** How a call ended. */
export interface Answer {
  readonly code: status;
  readonly details: string;
  readonly metadata: Metadata;
  /** What was answered, in order. */
  readonly messages: readonly unknown[];
}

/** A call that goes on. */
export interface OpenCall {
  readonly first: Promise<unknown>;
  readonly ended: Promise<Answer>;
  /** The next message that comes. */
  next(): Promise<unknown>;
  send(message: unknown): void;
}

type Method = MethodDefinition<unknown, unknown>;

export class DoorWorld {
  readonly clock = new ManualClock();
  readonly folder = mkdtempSync(join(tmpdir(), "farm-door-"));
  readonly keysPath = join(this.folder, "keys.json");
  readonly auditPath = join(this.folder, "audit.jsonl");
  readonly blobs: MemoryBlobs = createMemoryBlobs();
  readonly #startMs = Date.now();
  readonly #keys: ApiKey[] = [];
  readonly #quotas = new Map<string, Quota>();
  readonly #clients = new Map<Issued | null, Client>();
  certs!: AuthorityFolder;
  access!: Access;
  coordinator!: Coordinator;

  static async open(): Promise<DoorWorld> {
    const world = new DoorWorld();
    const root = { farm: "test", lifeMs: 24 * HOUR_MS, nowMs: Date.now };
    world.certs = await AuthorityFolder.create(join(world.folder, "certs"), root);
    const life = { lifeMs: HOUR_MS, hosts: ["127.0.0.1"] };
    const { paths } = await world.certs.issue({ role: "coordinator", name: "" }, life);
    world.#write();
    const settings = { tls: paths, apiKeys: world.keysPath, audit: world.auditPath };
    world.access = await openAccess(settings, world.clock, world.wallMs, silentLog);
    world.coordinator = await startCoordinator({
      listen: "127.0.0.1:0",
      journal: new MemoryJournal(),
      blobs: world.blobs,
      clock: world.clock,
      wallMs: world.wallMs,
      policy: POLICY_DEFAULT,
      log: pino({ enabled: false }),
      access: world.access,
      http: {
        listen: "127.0.0.1:0",
        consoleFolder: join(world.folder, "console"),
        version: "1.2.3",
      },
      onBroken: (error) => {
        throw error;
      },
    });
    // A checkpoint is known, so that jobs can be made.
    await world.coordinator.loop.dispatch({ kind: "node-joined", node: node("node-a") });
    return world;
  }

  /** Milliseconds since 1970, moved by the clock. */
  readonly wallMs = (): number => this.#startMs + this.clock.nowMs();

  key(owner: string, scopes: readonly Scope[], change: Partial<ApiKey> = {}): string {
    const { key, token } = newApiKey({ owner, scopes, nowMs: this.wallMs(), expiresAtMs: null });
    this.#keys.push({ ...key, ...change });
    this.#write();
    this.look();
    return token;
  }

  revoke(token: string): void {
    const at = this.#keys.findIndex(({ id }) => token.startsWith(`rf_${id}_`));
    this.#keys[at] = { ...this.#keys[at]!, revokedAtMs: this.wallMs() };
    this.#write();
  }

  setQuota(owner: string, quota: Quota): void {
    this.#quotas.set(owner, quota);
    this.#write();
    this.look();
  }

  /** The coordinator reads its files again. */
  look(): void {
    this.clock.advance(LOOK_MS);
  }

  issue(role: "node" | "user", name: string, lifeMs = HOUR_MS): Promise<Issued> {
    return this.certs.issue({ role, name }, { lifeMs });
  }

  /** Makes one call and waits for its end; a stream is ended behind its request. */
  call(method: Method, request: unknown, shows: Shows = {}): Promise<Answer> {
    return this.open(method, request, shows).ended;
  }

  /** Makes one call; `first` resolves with its first message, `ended` with its end. */
  open(method: Method, request: unknown, { token, certificate }: Shows): OpenCall {
    const metadata = new Metadata();
    if (token !== undefined) metadata.set("authorization", `Bearer ${token}`);
    const client = this.#client(certificate ?? null);
    const { path, requestStream, responseStream, requestSerialize, responseDeserialize } = method;
    const messages: unknown[] = [];
    let hear = (_message: unknown) => {};
    const next = () =>
      new Promise<unknown>((resolve) => {
        hear = resolve;
      });
    const first = next();
    const take = (message: unknown) => {
      messages.push(message);
      hear(message);
    };
    const done = (_error: ServiceError | null, answer?: unknown) => {
      if (answer !== undefined) take(answer);
    };
    const start = () => {
      if (requestStream && responseStream) {
        const both = client.makeBidiStreamRequest(
          ...[path, requestSerialize, responseDeserialize, metadata],
        );
        return { call: both.on("data", take), writes: both };
      }
      if (requestStream) {
        const up = client.makeClientStreamRequest(
          ...[path, requestSerialize, responseDeserialize, metadata, done],
        );
        return { call: up, writes: up };
      }
      if (responseStream) {
        const down = client.makeServerStreamRequest(
          ...[path, requestSerialize, responseDeserialize, request, metadata],
        );
        return { call: down.on("data", take), writes: null };
      }
      const unary = client.makeUnaryRequest(
        ...[path, requestSerialize, responseDeserialize, request, metadata, done],
      );
      return { call: unary, writes: null };
    };
    const { call, writes } = start();
    // How it ended is its status; a stream tells it as an error, too.
    (call as EventEmitter).on("error", () => {});
    writes?.write(request);
    if (!responseStream) writes?.end();
    const ended = new Promise<Answer>((resolve) => {
      call.on("status", (end: { code: status; details: string; metadata: Metadata }) =>
        resolve({ ...end, messages }),
      );
    });
    const send = (message: unknown) => writes?.write(message);
    return { first, ended, next, send };
  }

  audited(): Promise<Record<string, string>[]> {
    return this.access.audit.flush().then(() =>
      readFileSync(this.auditPath, "utf8")
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => JSON.parse(line) as Record<string, string>),
    );
  }

  async stop(): Promise<void> {
    for (const client of this.#clients.values()) client.close();
    const stopped = this.coordinator.stop();
    this.clock.advance(60_000);
    await stopped;
    rmSync(this.folder, { recursive: true, force: true });
  }

  #client(certificate: Issued | null): Client {
    const known = this.#clients.get(certificate);
    if (known) return known;
    const read = (path: string) => readFileSync(path, "utf8");
    const { address } = this.coordinator;
    const pair = certificate && {
      cert: read(certificate.paths.cert),
      key: read(certificate.paths.key),
    };
    const channel = secureChannel(address, { ca: read(this.certs.caPath), pair });
    const made = new Client(address, channel.credentials, {
      ...channel.options,
      "grpc.use_local_subchannel_pool": 1,
    });
    this.#clients.set(certificate, made);
    return made;
  }

  #write(): void {
    writeKeyFile(this.keysPath, { keys: this.#keys, quotas: this.#quotas });
  }
}
