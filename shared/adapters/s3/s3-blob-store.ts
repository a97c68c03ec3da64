/**
 * @file BlobStore on any S3.
 *
 * An object appears whole or not at all, since S3 says so of every put. Everything has a deadline;
 * what may pass is tried again a few times; a store that is away is "unreachable" at once after that.
 * Nothing is asked of the server beyond objects, listings, parts and If-None-Match: no lifecycle, no
 * versions, no administration.
 */
import { createHash, randomUUID } from "node:crypto";
import { assert } from "../../core/assert.js";
import { FarmError } from "../../core/errors.js";
import { badKey, corruptBlob, missingBlob } from "../../ports/blob-errors.js";
import { isBlobKey } from "../../ports/blob-key.js";
import type { BlobEntry, BlobRef, BlobStore } from "../../ports/blob-store.js";
import type { Log } from "../../ports/log.js";
import { CALL_LIMITS_DEFAULT, type CallLimits, S3Calls } from "./s3-calls.js";
import { S3Client, type S3Object } from "./s3-client.js";
import { S3Failure, toFarmError } from "./s3-failure.js";
import type { S3Credentials, S3Location } from "./s3-location.js";
import { presignedGet } from "./s3-presign.js";
import { S3Puts } from "./s3-put.js";

type Pieces = Uint8Array | AsyncIterable<Uint8Array>;

/** Where the store is, whom it trusts, and who asks it. */
export interface S3Access {
  readonly location: S3Location;
  readonly credentials: S3Credentials;
  /** Who signs links to finished files; without one the store gives none. */
  readonly signer?: S3Credentials | null;
}

export interface S3BlobStoreParts extends S3Access {
  readonly log: Log;
  /**
   * "publishes" checks at the start that the store keeps If-None-Match, and sweeps what dead
   * processes left; it takes the right to remove. "uses" is for who never calls putIfAbsent.
   */
  readonly role: "publishes" | "uses";
  /** Default: CALL_LIMITS_DEFAULT. */
  readonly limits?: CallLimits;
  /** Bytes of one request; default 64 MiB. */
  readonly partBytes?: number;
}

/** Racers of the start's check; all but one must be refused. */
const PROBE_RACERS = 8;
/** An upload in parts this old belongs to a process that died in the midst of it. */
const ABANDONED_AFTER_MS = 86_400_000;
/** Requests of one removal by prefix at a time. */
const REMOVALS_MAX = 16;

export class S3BlobStore implements BlobStore {
  readonly #client: S3Client;
  readonly #calls: S3Calls;
  readonly #puts: S3Puts;
  readonly #prefix: string;
  readonly link?: NonNullable<BlobStore["link"]>;
  #access: S3Access;
  #onClose = () => {};

  private constructor(parts: S3BlobStoreParts) {
    this.#client = new S3Client(parts.location, parts.credentials);
    this.#calls = new S3Calls(parts.limits ?? CALL_LIMITS_DEFAULT);
    this.#puts = new S3Puts(this.#client, this.#calls, parts.partBytes);
    this.#prefix = `${parts.location.prefix}/`;
    this.#access = parts;
    if (!parts.signer) return;
    this.link = (key, fileName, seconds) => {
      const { location, signer } = this.#access;
      assert(signer, "a signer where there was one");
      return presignedGet(location, signer, { key, fileName, seconds });
    };
  }

  /**
   * Opens a store and asks it once, so that wrong settings show now.
   *
   * @throws FarmError "invalid-argument" when the bucket, the key pair or the store will not do;
   *   "unreachable" when it does not answer
   */
  static async open(parts: S3BlobStoreParts): Promise<S3BlobStore> {
    const store = new S3BlobStore(parts);
    try {
      await store.#refuseWrongSettings(parts.location);
      if (parts.role === "publishes") {
        await store.#refuseUnconditionalStore();
        await store.#sweepUploads(parts.log);
      }
      return store;
    } catch (error) {
      store.close();
      throw toFarmError(`cannot open the blob store ${shown(parts.location)}`, error);
    }
  }

  /**
   * Requests and links from now on use other keys and roots, for the same bucket; those under way end
   * as they began.
   */
  renew(access: S3Access): void {
    this.#access = access;
    this.#client.renew(access.location, access.credentials);
  }

  /** Sets what follows `close`. */
  onClose(callback: () => void): void {
    this.#onClose = callback;
  }

  /** Closes its connections; the store takes no more calls. */
  close(): void {
    this.#onClose();
    this.#client.close();
  }

  async put(key: string, pieces: Pieces): Promise<BlobRef> {
    const name = this.#nameOf(key);
    return inFarmWords(`cannot store blob ${key}`, async () => {
      const { size, sha256 } = await this.#puts.put(name, pieces);
      return { key, size, sha256 };
    });
  }

  async putIfAbsent(key: string, bytes: Uint8Array): Promise<"created" | "exists"> {
    const name = this.#nameOf(key);
    return inFarmWords(`cannot store blob ${key}`, async () =>
      (await this.#puts.putIfAbsent(name, Buffer.from(bytes))) ? "created" : "exists",
    );
  }

  async get(ref: BlobRef): Promise<Uint8Array> {
    try {
      return await this.#getOnce(ref);
    } catch (error) {
      // Without TLS a bit may have turned over on the way; what lies in the store may be sound.
      const isDamaged = error instanceof FarmError && error.code === "blob-corrupt" && !error.cause;
      if (!isDamaged) throw error;
      return this.#getOnce(ref);
    }
  }

  async *read(ref: BlobRef): AsyncIterable<Uint8Array> {
    const name = this.#nameOf(ref.key);
    const hash = createHash("sha256");
    let at = 0;
    // A connection that broke is followed by another, from the byte where it broke.
    for (let idle = 0; ; idle++) {
      const from = at;
      try {
        for await (const piece of this.#bytesFrom(ref, name, at)) {
          hash.update(piece);
          at += piece.length;
          if (at > ref.size) throw corruptBlob(ref);
          if (at === ref.size && hash.copy().digest("hex") !== ref.sha256) throw corruptBlob(ref);
          yield piece;
        }
        if (at === ref.size && (at > 0 || hash.digest("hex") === ref.sha256)) return;
        throw at === 0 ? corruptBlob(ref) : new S3Failure(CUT, CUT_TEXT, null);
      } catch (error) {
        const isCut = error instanceof S3Failure && error.code === CUT.code;
        if (isCut && at === ref.size && at > 0) return;
        if (at > from) idle = 0;
        if (!isCut || idle >= IDLE_READS_MAX) throw await this.#verdict(ref, error);
        await this.#calls.pause(idle);
      }
    }
  }

  async removeAll(prefix: string): Promise<number> {
    // "a/b/" stands for all in a folder; an empty prefix would be the whole store and is refused.
    if (!isBlobKey(prefix.endsWith("/") ? `${prefix}x` : prefix)) throw badKey(prefix);
    return inFarmWords(`cannot remove blobs under ${prefix}`, async () => {
      let removed = 0;
      for await (const names of this.#pages(prefix)) {
        for (let at = 0; at < names.length; at += REMOVALS_MAX) {
          const some = names.slice(at, at + REMOVALS_MAX);
          await Promise.all(
            some.map(({ name }) => this.#calls.run(0, (s) => this.#client.remove(name, s))),
          );
          removed += some.length;
        }
      }
      return removed;
    });
  }

  async *list(prefix: string): AsyncIterable<BlobEntry> {
    if (prefix !== "" && !isBlobKey(`${prefix}x`)) throw badKey(prefix);
    try {
      for await (const page of this.#pages(prefix)) {
        for (const { name, size, putAtMs } of page) {
          const key = name.slice(this.#prefix.length);
          if (isBlobKey(key)) yield { key, size, putAtMs };
        }
      }
    } catch (error) {
      throw toFarmError(`cannot list blobs under ${prefix}`, error);
    }
  }

  async remove(key: string): Promise<boolean> {
    const name = this.#nameOf(key);
    return inFarmWords(`cannot remove blob ${key}`, async () => {
      // S3 removes what is not there without a word.
      const found = await this.#calls.run(0, (signal) => this.#client.stat(name, signal));
      if (found === null) return false;
      await this.#calls.run(0, (signal) => this.#client.remove(name, signal));
      return true;
    });
  }

  /** The one place where a key becomes the name of an object. */
  #nameOf(key: string): string {
    if (!isBlobKey(key)) throw badKey(key);
    return this.#prefix + key;
  }

  async #getOnce(ref: BlobRef): Promise<Uint8Array> {
    let bytes = Buffer.alloc(0);
    let at = 0;
    for await (const piece of this.read(ref)) {
      // Only now is it known that the store has as many bytes as the reference says.
      if (at === 0) bytes = Buffer.allocUnsafeSlow(ref.size);
      bytes.set(piece, at);
      at += piece.length;
    }
    return bytes;
  }

  /** Bytes of an object from an offset. The deadline counts the time that the store takes only. */
  async *#bytesFrom(ref: BlobRef, name: string, offset: number): AsyncGenerator<Uint8Array> {
    const { length, body } = await this.#opened(ref, name, offset);
    let leftMs = this.#calls.allowanceMs(ref.size - offset);
    try {
      if (length !== null && length !== ref.size - offset) throw corruptBlob(ref);
      const pieces = body[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
      for (;;) {
        const startMs = performance.now();
        const late = () => body.destroy(new S3Failure(LATE, "the bytes come too slowly", null));
        const timer = setTimeout(late, leftMs);
        const { value, done } = await pieces.next().finally(() => clearTimeout(timer));
        leftMs -= performance.now() - startMs;
        if (done) return;
        yield value;
      }
    } catch (error) {
      if (error instanceof FarmError) throw error;
      // What the connection broke with differs from place to place, and says nothing more.
      const failure = error instanceof S3Failure ? error : new S3Failure(CUT, CUT_TEXT, error);
      this.#calls.report(failure);
      throw failure;
    } finally {
      body.destroy(); // of a body that was read to its end this keeps the connection
    }
  }

  async #opened(ref: BlobRef, name: string, offset: number): Promise<S3Object> {
    try {
      return await this.#calls.run(0, (signal) => this.#client.get(name, offset, signal));
    } catch (error) {
      throw isMissing(error) ? missingBlob(ref) : error;
    }
  }

  /**
   * Servers that find an object damaged on their disk say what they also say when they are busy. One
   * that answers other questions, and this one never, has lost the object.
   */
  async #verdict(ref: BlobRef, error: unknown): Promise<unknown> {
    const what = `cannot read blob ${ref.key}`;
    if (!(error instanceof S3Failure)) return error;
    const isBusy = error.status !== null && error.status >= 500;
    if (!isBusy && error.code !== CUT.code) return toFarmError(what, error);
    const name = this.#nameOf(ref.key);
    try {
      await this.#calls.once(this.#calls.allowanceMs(0), (s) => this.#client.page(name, "", s));
    } catch (second) {
      if (!(second instanceof S3Failure) || second.isTransient) return toFarmError(what, error);
    }
    const text = `${what}: the store fails for it (${error.status ?? error.code}) and for nothing else, so it is damaged`;
    return new FarmError("blob-corrupt", text, { cause: error, blobKey: ref.key });
  }

  async *#pages(prefix: string): AsyncGenerator<Awaited<ReturnType<S3Client["page"]>>["objects"]> {
    let after = "";
    for (;;) {
      const from = after;
      const page = await this.#calls.run(0, (signal) =>
        this.#client.page(this.#prefix + prefix, from, signal),
      );
      yield page.objects;
      const last = page.objects.at(-1)?.name;
      if (!page.hasMore || last === undefined) return;
      after = last;
    }
  }

  /** What a person has to put right, told before any work: bucket, key pair, region. */
  async #refuseWrongSettings(location: S3Location): Promise<void> {
    const name = `${this.#prefix}.probe/${randomUUID()}`;
    try {
      await this.#calls.run(0, (signal) => this.#client.page(name, "", signal));
    } catch (error) {
      if (!(error instanceof S3Failure) || error.isTransient) throw error;
      const refusal = toFarmError(`the blob store ${shown(location)} refuses`, error) as FarmError;
      throw new FarmError("invalid-argument", refusal.detail, { cause: error });
    }
  }

  /** A real race for one name, under a name that no key can have. */
  async #refuseUnconditionalStore(): Promise<void> {
    const name = `${this.#prefix}.probe/${randomUUID()}`;
    const racers = Array.from({ length: PROBE_RACERS }, (_, i) => Buffer.from(`racer ${i}`));
    try {
      const outcomes = await Promise.all(
        racers.map((bytes) => this.#puts.putIfAbsent(name, bytes)),
      );
      const winners = outcomes.filter((isCreated) => isCreated).length;
      const late = await this.#puts.putIfAbsent(name, Buffer.from("late"));
      if (winners === 1 && !late) return;
      const found = `of ${PROBE_RACERS} puts of one object ${winners} won`;
      const detail = `the blob store ignores "If-None-Match: *" (${found}, 1 should); two manifests of one clip could be published, so take a store that keeps it`;
      throw new FarmError("invalid-argument", detail);
    } catch (error) {
      if (!(error instanceof S3Failure) || error.status !== 501) throw error;
      const detail = 'the blob store does not know "If-None-Match: *"; take one that does';
      throw new FarmError("invalid-argument", detail, { cause: error });
    } finally {
      await this.#calls.run(0, (signal) => this.#client.remove(name, signal)).catch(() => {});
    }
  }

  /** Parts of uploads that were never finished cost room and are in no listing. Best effort. */
  async #sweepUploads(log: Log): Promise<void> {
    try {
      const uploads = await this.#calls.run(0, (s) => this.#client.openUploads(this.#prefix, s));
      for (const { name, id, sinceMs } of uploads) {
        if (Date.now() - sinceMs < ABANDONED_AFTER_MS) continue;
        await this.#calls.run(0, (signal) => this.#client.abandonUpload({ name, id }, signal));
        log.info(`removed the parts of an upload that nobody finished: ${name}`);
      }
    } catch (error) {
      if (!(error instanceof S3Failure)) throw error;
      log.warn(`unfinished uploads cannot be swept: ${error.message}`);
    }
  }
}

/** Connections in a row that may bring no byte of an object before it is given up. */
const IDLE_READS_MAX = 2;
const CUT = { status: null, code: "cut" };
const CUT_TEXT = "the connection broke in the midst of the bytes";
const LATE = { status: null, code: "deadline" };

/** A bucket that is gone is no missing blob: it may come back, and every blob with it. */
function isMissing(error: unknown): boolean {
  return error instanceof S3Failure && error.status === 404 && error.code !== "NoSuchBucket";
}

async function inFarmWords<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw toFarmError(what, error);
  }
}

function shown({ bucket, prefix, endpoint }: S3Location): string {
  return `s3://${bucket}/${prefix} at ${endpoint}`;
}
