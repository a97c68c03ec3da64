/**
 * @file The one module that knows the `nats` package: a connection that outlives its servers.
 *
 * The client is told to dial for ever and to look often whether its server still answers: by default
 * it gives up after ten dials and notices a silent server after four minutes.
 */
import { X509Certificate } from "node:crypto";
import {
  type ConnectionOptions,
  connect,
  headers,
  type JetStreamClient,
  type JetStreamManager,
  type JsMsg,
  type Msg,
  type MsgHdrs,
  type NatsConnection,
  NatsError,
  nkeyAuthenticator,
  type TlsOptions,
} from "nats";
import { FarmError } from "../../core/errors.js";
import type { Clock } from "../../ports/clock.js";
import type { Log } from "../../ports/log.js";
import { inboxPrefix, type NatsRole } from "./nats-names.js";

export {
  DiscardPolicy,
  type KV,
  RetentionPolicy,
  StorageType,
  type StreamInfo,
  type StreamState,
} from "nats";
export type { JetStreamClient, JetStreamManager, JsMsg, Msg, MsgHdrs };
export { headers };

/** What is shown to a server, and by what it is known. */
interface NatsSecrets {
  /** The seed of the role's nkey, "SU...". Null: the server asks for none, on loopback only. */
  readonly seed: string | null;
  /** PEM; null: without TLS, on loopback only. */
  readonly tls: {
    readonly ca: string;
    readonly cert?: string;
    readonly key?: string;
  } | null;
}

/** How a program reaches the message broker. */
export interface NatsSettings extends NatsSecrets {
  /** host:port of the servers of one cluster, in any order. */
  readonly servers: readonly string[];
  readonly role: NatsRole;
  /** What the server's monitoring shows, e.g. the node's id. */
  readonly name: string;
}

export interface NatsClientOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** How long the first connection may take; 10 s unless told. */
  readonly connectMs?: number;
}

const CONNECT_MS_MAX = 10_000;
/** One dial. */
const DIAL_MS_MAX = 3_000;
const REDIAL_MS = 250;
/** A server that leaves two pings unanswered is given up, 15 s after the last answer at most. */
const PING_MS = 5_000;
const PINGS_OUT_MAX = 2;
/** What a drain may take before the connection is closed under it. */
const DRAIN_MS_MAX = 2_000;

export class NatsClient {
  readonly #connection: NatsConnection;
  readonly #secrets: { current: NatsSecrets };
  readonly #clock: Clock;
  readonly #upWatchers = new Set<() => void>();
  #onClose = () => {};
  #isUp = true;

  private constructor(
    connection: NatsConnection,
    secrets: { current: NatsSecrets },
    { clock, log }: NatsClientOptions,
  ) {
    this.#connection = connection;
    this.#secrets = secrets;
    this.#clock = clock;
    void this.#watch(log);
  }

  /**
   * Connects, trying again until the deadline.
   *
   * @throws FarmError "unreachable" naming the servers and the last reason; "invalid-argument" when
   *   the server refuses the key
   */
  static async connect(settings: NatsSettings, options: NatsClientOptions): Promise<NatsClient> {
    const { clock, connectMs = CONNECT_MS_MAX } = options;
    const endMs = clock.nowMs() + connectMs;
    const secrets = { current: settings };
    while (true) {
      try {
        const connection = await connect(optionsOf(settings, secrets));
        return new NatsClient(connection, secrets, options);
      } catch (error) {
        const where = settings.servers.join(", ");
        if (error instanceof NatsError && error.isAuthError()) {
          const text = `the NATS server at ${where} refuses the key of the role ${settings.role}: ${error.message}`;
          throw new FarmError("invalid-argument", text, { cause: error });
        }
        if (clock.nowMs() + REDIAL_MS >= endMs) {
          const text = `no NATS server at ${where} within ${connectMs} ms: ${reasonOf(error)}${endOf(settings)}`;
          throw new FarmError("unreachable", text, { cause: error });
        }
        await new Promise<void>((resolve) => void clock.after(REDIAL_MS, resolve));
      }
    }
  }

  /** The connection stays as it is; whatever connection comes next shows and trusts these. */
  renew(secrets: NatsSecrets): void {
    this.#secrets.current = secrets;
  }

  /** Sets what follows the end of the connection. */
  onClose(callback: () => void): void {
    this.#onClose = callback;
  }

  /** Bytes that the server takes as one message, headers included. */
  get payloadBytesMax(): number {
    return this.#connection.info?.max_payload ?? 1_048_576;
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  /** Calls back after every reconnection, until the returned function is called. */
  onUp(callback: () => void): () => void {
    this.#upWatchers.add(callback);
    return () => this.#upWatchers.delete(callback);
  }

  /** Queues a message; while there is no connection, what is queued may be lost. */
  publish(
    subject: string,
    message: { payload?: Uint8Array; headers?: MsgHdrs; reply?: string },
  ): void {
    if (this.#connection.isClosed() || this.#connection.isDraining()) return;
    const { payload, ...options } = message;
    this.#connection.publish(subject, payload, options);
  }

  /** Calls back for every message, until the returned function is called. */
  subscribe(subject: string, callback: (message: Msg) => void): () => void {
    const subscription = this.#connection.subscribe(subject, {
      callback: (error, message) => {
        if (!error) callback(message);
      },
    });
    return () => subscription.unsubscribe();
  }

  /** Resolves once the server has taken in all that was published and subscribed to before. */
  async flush(): Promise<void> {
    await this.#connection.flush();
  }

  jetstream(timeoutMs: number): JetStreamClient {
    return this.#connection.jetstream({ timeout: timeoutMs });
  }

  jetstreamManager(timeoutMs: number): Promise<JetStreamManager> {
    return this.#connection.jetstreamManager({ timeout: timeoutMs, checkAPI: false });
  }

  /** Lets what is queued leave, then closes. */
  async close(): Promise<void> {
    this.#onClose();
    if (this.#connection.isClosed()) return;
    let cancel = () => {};
    const limit = new Promise<void>((resolve) => {
      cancel = this.#clock.after(DRAIN_MS_MAX, resolve);
    });
    // A drain waits for its server, which may be gone.
    if (this.#isUp) await Promise.race([this.#connection.drain().catch(() => {}), limit]);
    cancel();
    await this.#connection.close();
  }

  async #watch(log: Log): Promise<void> {
    for await (const { type, data, permissionContext } of this.#connection.status()) {
      const server = String(data);
      if (type === "disconnect") {
        this.#isUp = false;
        const ended = endOf(this.#secrets.current);
        log.warn(`the NATS server ${server} is gone; dialling again${ended}`);
      } else if (type === "reconnect") {
        this.#isUp = true;
        log.info(`connected to the NATS server ${server} again`);
        for (const callback of [...this.#upWatchers]) callback();
      } else if (type === "error") {
        const { operation, subject } = permissionContext ?? {};
        const refused = operation ? `refuses the ${operation} "${subject}"` : `says: ${server}`;
        log.warn(`the NATS server ${refused}`);
      } else if (type === "ldm") {
        log.warn(`the NATS server ${server} is about to stop`);
      }
    }
  }
}

/** Any error of the client as ours. */
export function unreachable(what: string, error: unknown): FarmError {
  if (error instanceof FarmError) return error;
  return new FarmError("unreachable", `${what}: ${reasonOf(error)}`, { cause: error });
}

/** The number that JetStream gives to a kind of refusal; null for anything else. */
export function jetStreamCode(error: unknown): number | null {
  return error instanceof NatsError ? (error.api_error?.err_code ?? null) : null;
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (!(error instanceof NatsError)) return error.message;
  const under = error.chainedError?.message;
  const text = error.code === error.message ? error.code : `${error.message} (${error.code})`;
  return under ? `${text}: ${under}` : text;
}

/** What a server that refuses an ended certificate does not say: it only cuts the connection. */
function endOf({ tls }: NatsSecrets): string {
  if (!tls?.cert) return "";
  const { validTo } = new X509Certificate(tls.cert);
  const isOver = Date.parse(validTo) <= Date.now();
  return isOver ? `; the certificate that is shown to it (cert=) ended at ${validTo}` : "";
}

/** Reads the secrets at every dial: they may change in between. */
function optionsOf(
  { servers, role, tls, name }: NatsSettings,
  secrets: { readonly current: NatsSecrets },
): ConnectionOptions {
  return {
    servers: [...servers],
    name,
    inboxPrefix: inboxPrefix(role),
    timeout: DIAL_MS_MAX,
    reconnect: true,
    maxReconnectAttempts: -1,
    reconnectTimeWait: REDIAL_MS,
    reconnectJitter: REDIAL_MS,
    reconnectJitterTLS: REDIAL_MS,
    // A server that restarts may refuse a key before it has read all of its settings.
    ignoreAuthErrorAbort: true,
    pingInterval: PING_MS,
    maxPingOut: PINGS_OUT_MAX,
    authenticator: (nonce) => {
      const { seed } = secrets.current;
      return seed === null ? undefined : nkeyAuthenticator(new TextEncoder().encode(seed))(nonce);
    },
    tls: tls ? liveTls(secrets) : null,
  };
}

function liveTls(secrets: { readonly current: NatsSecrets }): TlsOptions {
  return Object.defineProperties(
    {},
    Object.fromEntries(
      (["ca", "cert", "key"] as const).map((name) => [
        name,
        { enumerable: true, get: () => secrets.current.tls?.[name] },
      ]),
    ),
  );
}
