/** @file The stream under a journal: reads all of it, and publishes message by message, each once. */
import { FarmError } from "../../core/errors.js";
import type { Clock } from "../../ports/clock.js";
import type { Log } from "../../ports/log.js";
import type { BatchPiece } from "./jetstream-batch.js";
import {
  DiscardPolicy,
  type JetStreamClient,
  type JetStreamManager,
  type JsMsg,
  jetStreamCode,
  type NatsClient,
  RetentionPolicy,
  StorageType,
  type StreamInfo,
  type StreamState,
  unreachable,
} from "./nats-client.js";
import { type FarmNames, journalStream, journalSubject } from "./nats-names.js";
import type { ReadRecord, StreamReading } from "./stream-reading.js";

/** How much a stream may hold before appends wait. */
export interface StreamLimits {
  /** Bytes, 1 GiB unless told. */
  readonly bytesMax: number;
  /** Messages, one or more appends each; 10 million unless told. */
  readonly messagesMax: number;
  /** Servers that keep a copy: 1, 3 or 5 of a cluster; 1 unless told. */
  readonly replicas: number;
}

const LIMITS_DEFAULT: StreamLimits = {
  bytesMax: 1_073_741_824,
  messagesMax: 10_000_000,
  replicas: 1,
};

/** Numbers that JetStream gives to its refusals. */
const STREAM_NOT_FOUND = 10_059;
const WRONG_LAST_SEQUENCE = 10_071;
const MESSAGE_NOT_FOUND = 10_037;
/** The stream's limits, the account's, the disk's. */
const FULL: ReadonlySet<number> = new Set([10_077, 10_002, 10_023, 10_028, 10_047]);

/** What an answer may take; a publication without one is sent again. */
const ANSWER_MS_MAX = 2_000;
const AGAIN_MS = 250;
/** Of reading: how long no message may come. */
const SILENCE_MS_MAX = 15_000;
const READ_AHEAD = 500;

interface LogOptions {
  readonly client: NatsClient;
  readonly names: FarmNames;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits?: Partial<StreamLimits>;
  /** Nobody knows of any record: a missing stream is made. */
  readonly isNew: boolean;
}

export class JetStreamLog {
  readonly name: string;
  readonly #options: LogOptions;
  readonly #jetstream: JetStreamClient;
  readonly #manager: JetStreamManager;
  #lastSequence = 0;
  #stalled: FarmError | null = null;
  #givenUp: Error | null = null;
  #wake: () => void = () => {};

  private constructor(options: LogOptions, manager: JetStreamManager) {
    this.name = journalStream(options.names);
    this.#options = options;
    this.#jetstream = options.client.jetstream(ANSWER_MS_MAX);
    this.#manager = manager;
  }

  /** @throws FarmError as `JetStreamJournal.open` */
  static async open(options: LogOptions): Promise<JetStreamLog> {
    const stream = journalStream(options.names);
    try {
      const manager = await options.client.jetstreamManager(ANSWER_MS_MAX);
      const opened = new JetStreamLog(options, manager);
      await opened.#prepare();
      return opened;
    } catch (error) {
      throw unreachable(`the journal's stream ${stream} cannot be opened`, error);
    }
  }

  /** Number of the last message that was read or published. */
  get lastSequence(): number {
    return this.#lastSequence;
  }

  /** Why the publication under way waits; null when it does not. */
  get stalled(): FarmError | null {
    return this.#stalled;
  }

  /** Lets every publication fail with this error, the one that waits too. */
  giveUp(error: Error): void {
    this.#givenUp ??= error;
    this.#wake();
  }

  /**
   * All records that the stream has and that were not read before, checked.
   *
   * @throws FarmError "wrong-state" naming the message and what is wrong; "unreachable"
   */
  async *records(reading: StreamReading): AsyncGenerator<ReadRecord, void> {
    const { state } = await this.#info();
    if (state.messages === 0 && reading.sequence === 0) reading.passOver(state.last_seq);
    if (reading.sequence < state.last_seq) yield* this.#recordsUpTo(state, reading);
    if (reading.sequence < state.last_seq) {
      const text = `the messages from ${reading.sequence + 1} to ${state.last_seq} of the stream ${this.name} are missing`;
      throw new FarmError("wrong-state", `${text}; restore the server's store from a copy`);
    }
    if (reading.hasUnfinished) {
      this.#options.log.warn(`stream ${this.name}: an unfinished append at the end is passed over`);
    }
    this.#lastSequence = state.last_seq;
  }

  /**
   * Every record that was not read before, those too that are yet to be written; ends when stopped.
   *
   * @throws FarmError as `records`
   */
  async *follow(reading: StreamReading, stopped: AbortSignal): AsyncGenerator<ReadRecord, void> {
    for await (const message of this.#messages(reading.sequence, { stopped })) {
      yield* reading.take(message);
    }
  }

  async *#recordsUpTo(
    state: StreamState,
    reading: StreamReading,
  ): AsyncGenerator<ReadRecord, void> {
    if (state.messages === 0) return;
    for await (const message of this.#messages(reading.sequence, { silenceMs: SILENCE_MS_MAX })) {
      yield* reading.take(message);
      if (message.seq >= state.last_seq || message.info.pending === 0) return;
    }
  }

  /**
   * Appends a message behind the last one; resolves once the server has synced it.
   *
   * @throws FarmError "unreachable" when another writer has appended meanwhile; what `giveUp` was
   *   given
   */
  async publish(piece: BatchPiece): Promise<void> {
    while (this.#givenUp === null) {
      try {
        const { seq } = await this.#jetstream.publish(
          journalSubject(this.#options.names),
          piece.data,
          {
            headers: piece.headers,
            msgID: piece.id,
            expect: { lastSequence: this.#lastSequence, streamName: this.name },
          },
        );
        this.#lastSequence = seq;
        this.#stall(null);
        return;
      } catch (error) {
        if (jetStreamCode(error) === WRONG_LAST_SEQUENCE) {
          if (await this.#stands(piece)) return;
        } else this.#stall(this.#reasonToWait(error));
      }
      await this.#pause();
    }
    throw this.#givenUp;
  }

  /** Removes every message up to this one. */
  async dropUpTo(sequence: number): Promise<void> {
    await this.#manager.streams.purge(this.name, { seq: sequence + 1 });
  }

  /** Whether our message is the one after the last; a failure to look is no answer, and tried again. */
  async #stands(piece: BatchPiece): Promise<boolean> {
    const seq = this.#lastSequence + 1;
    let id: string | undefined;
    try {
      const message = await this.#manager.streams.getMessage(this.name, { seq });
      id = message.header.get("Nats-Msg-Id");
    } catch (error) {
      if (jetStreamCode(error) !== MESSAGE_NOT_FOUND) return false;
    }
    if (id !== piece.id) {
      const text = `the stream ${this.name} has a message ${seq} that is not ours: another coordinator leads`;
      throw new FarmError("unreachable", text);
    }
    this.#lastSequence = seq;
    this.#stall(null);
    return true;
  }

  /** @throws what no waiting helps against */
  #reasonToWait(error: unknown): FarmError {
    const code = jetStreamCode(error);
    if (code !== null && FULL.has(code)) {
      const text = `the journal's stream ${this.name} is full (${(error as Error).message}); raise its limits, or make room on the NATS server's disk`;
      return new FarmError("exhausted", text);
    }
    if (code === STREAM_NOT_FOUND) {
      throw new FarmError("wrong-state", `the journal's stream ${this.name} is gone`);
    }
    return unreachable(`the journal's stream ${this.name} does not answer`, error);
  }

  #stall(reason: FarmError | null): void {
    if (reason?.code !== this.#stalled?.code) {
      if (reason) this.#options.log.warn(`appends wait: ${reason.detail}`);
      else this.#options.log.info(`the stream ${this.name} takes appends again`);
    }
    this.#stalled = reason;
  }

  async #pause(): Promise<void> {
    if (this.#givenUp !== null) return;
    let stopWatching = () => {};
    let cancel = () => {};
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      stopWatching = this.#options.client.onUp(resolve);
      cancel = this.#options.clock.after(AGAIN_MS, resolve);
    });
    stopWatching();
    cancel();
  }

  /** @param after number of a message; those behind it are read */
  async *#messages(
    after: number,
    { stopped, silenceMs }: { readonly stopped?: AbortSignal; readonly silenceMs?: number },
  ): AsyncGenerator<JsMsg, void> {
    if (stopped?.aborted) return;
    const begin = after === 0 ? {} : { opt_start_seq: after + 1 };
    const consumer = await this.#jetstream.consumers.get(this.name, begin);
    const messages = await consumer.consume({ max_messages: READ_AHEAD });
    const stop = () => messages.stop();
    stopped?.addEventListener("abort", stop);
    const iterator = messages[Symbol.asyncIterator]();
    try {
      while (true) {
        const next = iterator.next();
        const { done, value } = await (silenceMs ? this.#within(silenceMs, next) : next);
        if (done) return;
        yield value;
      }
    } catch (error) {
      throw unreachable(`the stream ${this.name} cannot be read`, error);
    } finally {
      stopped?.removeEventListener("abort", stop);
      messages.stop();
    }
  }

  #within<T>(ms: number, awaited: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const cancel = this.#options.clock.after(ms, () => {
        reject(new FarmError("unreachable", `no message for ${ms} ms`));
      });
      awaited.then(resolve, reject).finally(cancel);
    });
  }

  async #info(): Promise<StreamInfo> {
    try {
      return await this.#manager.streams.info(this.name);
    } catch (error) {
      throw unreachable(`the journal's stream ${this.name} cannot be read`, error);
    }
  }

  async #prepare(): Promise<void> {
    try {
      const { config } = await this.#manager.streams.info(this.name);
      const isSafe =
        config.discard === DiscardPolicy.New &&
        config.retention === RetentionPolicy.Limits &&
        config.storage === StorageType.File &&
        config.max_age === 0;
      if (isSafe) return;
      const text = `the stream ${this.name} may drop events: it wants discard new, retention limits, storage file and no max_age`;
      throw new FarmError("wrong-state", text);
    } catch (error) {
      if (jetStreamCode(error) !== STREAM_NOT_FOUND) throw error;
    }
    if (!this.#options.isNew) {
      const text = `the stream ${this.name} is missing, but the blob store knows of its records`;
      throw new FarmError(
        "wrong-state",
        `${text}; restore the NATS server's store from a copy, or, to give the farm's jobs up, remove journal/${this.#options.names.farm}/ from the blob store`,
      );
    }
    await this.#create();
  }

  async #create(): Promise<void> {
    const { bytesMax, messagesMax, replicas } = { ...LIMITS_DEFAULT, ...this.#options.limits };
    await this.#manager.streams.add({
      name: this.name,
      subjects: [journalSubject(this.#options.names)],
      retention: RetentionPolicy.Limits,
      storage: StorageType.File,
      discard: DiscardPolicy.New,
      max_bytes: bytesMax,
      max_msgs: messagesMax,
      num_replicas: replicas,
      deny_delete: true,
      allow_direct: false,
    });
  }
}
