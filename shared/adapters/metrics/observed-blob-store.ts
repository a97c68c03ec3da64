/** @file A blob store whose traffic and failures somebody hears of; it changes nothing else. */
import { asFarmError } from "../../core/errors.js";
import type { BlobEntry, BlobRef, BlobStore } from "../../ports/blob-store.js";
import type { Clock } from "../../ports/clock.js";
import type { TransferObserver } from "../../ports/transfer-observer.js";

export class ObservedBlobStore implements BlobStore {
  readonly #store: BlobStore;
  readonly #transport: string;
  readonly #observer: TransferObserver;
  readonly #clock: Pick<Clock, "nowMs">;
  /** Asks no server, so nothing is heard of it. */
  readonly link?: NonNullable<BlobStore["link"]>;

  /** @param transport "files" or "s3" */
  constructor(
    store: BlobStore,
    transport: string,
    observer: TransferObserver,
    clock: Pick<Clock, "nowMs">,
  ) {
    this.#store = store;
    this.#transport = transport;
    this.#observer = observer;
    this.#clock = clock;
    const link = store.link?.bind(store);
    if (link) this.link = link;
  }

  async put(key: string, pieces: Uint8Array | AsyncIterable<Uint8Array>): Promise<BlobRef> {
    const startMs = this.#clock.nowMs();
    const ref = await this.#watched("put", this.#store.put(key, pieces));
    this.#moved("out", ref.size, startMs);
    return ref;
  }

  async putIfAbsent(key: string, bytes: Uint8Array): Promise<"created" | "exists"> {
    const startMs = this.#clock.nowMs();
    const answer = await this.#watched("put_if_absent", this.#store.putIfAbsent(key, bytes));
    this.#moved("out", bytes.byteLength, startMs);
    return answer;
  }

  async get(ref: BlobRef): Promise<Uint8Array> {
    const startMs = this.#clock.nowMs();
    const bytes = await this.#watched("get", this.#store.get(ref));
    this.#moved("in", bytes.byteLength, startMs);
    return bytes;
  }

  /** A reader that stops early has still moved what it took. */
  async *read(ref: BlobRef): AsyncIterable<Uint8Array> {
    const startMs = this.#clock.nowMs();
    let bytes = 0;
    try {
      for await (const piece of this.#store.read(ref)) {
        bytes += piece.byteLength;
        yield piece;
      }
    } catch (error) {
      this.#failed("get", error);
      throw error;
    } finally {
      this.#moved("in", bytes, startMs);
    }
  }

  removeAll(prefix: string): Promise<number> {
    return this.#watched("remove", this.#store.removeAll(prefix));
  }

  async *list(prefix: string): AsyncIterable<BlobEntry> {
    try {
      yield* this.#store.list(prefix);
    } catch (error) {
      this.#failed("list", error);
      throw error;
    }
  }

  remove(key: string): Promise<boolean> {
    return this.#watched("remove", this.#store.remove(key));
  }

  #moved(direction: "in" | "out", bytes: number, startMs: number): void {
    const seconds = (this.#clock.nowMs() - startMs) / 1_000;
    this.#observer.moved(this.#transport, direction, bytes, seconds);
  }

  async #watched<T>(operation: string, work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      this.#failed(operation, error);
      throw error;
    }
  }

  #failed(operation: string, error: unknown): void {
    this.#observer.failed(this.#transport, operation, asFarmError(error).code);
  }
}
