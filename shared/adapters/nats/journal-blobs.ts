/**
 * @file What a journal on a stream keeps in the blob store: its snapshots, and witnesses of its head.
 *
 * ```
 * journal/<farm>/heads/<number>-<hash>                            a record that was kept
 * journal/<farm>/lines/<number>-<hash>-<sequence>                 lines of a snapshot
 * journal/<farm>/snapshots/<number>-<hash>-<sequence>-<sha256>-<size>   says that those lines are whole
 * ```
 *
 * All that is to be known stands in the keys, since a blob is read by its checksum. A stream that
 * was emptied, or cut by its server, has fewer records than a witness names: no start is silent.
 */
import { setImmediate as turn } from "node:timers/promises";
import { asFarmError, FarmError } from "../../core/errors.js";
import type { BlobStore } from "../../ports/blob-store.js";
import type { JournalHead, JournalSnapshot } from "../../ports/journal.js";

const HEAD_NAME = /^(\d{16})-([0-9a-f]{64})$/;
const SNAPSHOT_NAME = /^(\d{16})-([0-9a-f]{64})-(\d{16})-([0-9a-f]{64})-(\d{1,16})$/;
const FIRST_LINE = "renderfarm-snapshot 1";
/** Lines are written in pieces of about so many characters. */
const PIECE_LENGTH = 65_536;

/** A snapshot, and the last message of the stream that it stands for. */
export interface StreamSnapshot extends JournalSnapshot {
  readonly sequence: number;
}

/** A place in the journal and in its stream. */
export interface StreamPlace {
  readonly head: JournalHead;
  readonly sequence: number;
}

export class JournalBlobs {
  readonly #blobs: BlobStore;
  readonly #folder: string;

  constructor(blobs: BlobStore, farm: string) {
    this.#blobs = blobs;
    this.#folder = `journal/${farm}`;
  }

  /** Every head that was witnessed and not removed since, the newest first. */
  async heads(): Promise<JournalHead[]> {
    const found: JournalHead[] = [];
    for await (const name of this.#names("heads")) {
      const [, number, hash] = HEAD_NAME.exec(name) ?? [];
      if (hash) found.push({ number: Number(number), hash });
    }
    return found.sort((a, b) => b.number - a.number);
  }

  async keepHead(head: JournalHead): Promise<void> {
    const key = this.#headKey(head);
    await this.#blobs.put(key, Buffer.from(key));
  }

  async dropHead(head: JournalHead): Promise<void> {
    await this.#blobs.remove(this.#headKey(head));
  }

  /** The newest first. */
  async snapshots(): Promise<StreamSnapshot[]> {
    const found: StreamSnapshot[] = [];
    for await (const name of this.#names("snapshots")) {
      const [, number, hash, sequence, sha256, size] = SNAPSHOT_NAME.exec(name) ?? [];
      if (!hash || !sha256) continue;
      const place = { head: { number: Number(number), hash }, sequence: Number(sequence) };
      const ref = { key: this.#linesKey(place), sha256, size: Number(size) };
      found.push({ ...place, lines: () => this.#read(ref) });
    }
    return found.sort((a, b) => b.head.number - a.head.number);
  }

  /** @param isGivenUp looked at now and then; the writing ends with an error when it says so */
  async keepSnapshot(
    place: StreamPlace,
    lines: Iterable<string>,
    isGivenUp: () => boolean,
  ): Promise<void> {
    const key = this.#linesKey(place);
    const { sha256, size } = await this.#blobs.put(key, piecesOf(lines, isGivenUp));
    const marker = `${this.#folder}/snapshots/${placeName(place)}-${sha256}-${size}`;
    await this.#blobs.put(marker, Buffer.from(marker));
    for await (const name of this.#names("snapshots")) {
      // One of the same place that was written before: its lines are gone.
      const isOlder = name.startsWith(placeName(place)) && !marker.endsWith(name);
      if (isOlder) await this.#blobs.remove(`${this.#folder}/snapshots/${name}`);
    }
  }

  /** Removes every snapshot but those of these records. */
  async dropSnapshotsBut(numbers: readonly number[]): Promise<void> {
    for (const kind of ["snapshots", "lines"]) {
      for await (const name of this.#names(kind)) {
        if (numbers.includes(Number(name.slice(0, 16)))) continue;
        await this.#blobs.remove(`${this.#folder}/${kind}/${name}`);
      }
    }
  }

  async *#names(kind: string): AsyncGenerator<string, void> {
    const prefix = `${this.#folder}/${kind}/`;
    const keys: string[] = [];
    for await (const { key } of this.#blobs.list(prefix)) keys.push(key);
    for (const key of keys) yield key.slice(prefix.length);
  }

  async *#read(ref: { key: string; sha256: string; size: number }): AsyncGenerator<string, void> {
    let text: string;
    try {
      text = Buffer.from(await this.#blobs.get(ref)).toString("utf8");
    } catch (error) {
      const { code, detail } = asFarmError(error, "unreachable");
      const isDamaged = code === "blob-missing" || code === "blob-corrupt";
      throw new FarmError(isDamaged ? "wrong-state" : code, `the snapshot ${ref.key}: ${detail}`);
    }
    const [first, ...lines] = text.slice(0, -1).split("\n");
    if (first !== FIRST_LINE) {
      throw new FarmError("wrong-state", `the snapshot ${ref.key} is of another format: ${first}`);
    }
    yield* lines;
  }

  #headKey({ number, hash }: JournalHead): string {
    return `${this.#folder}/heads/${padded(number)}-${hash}`;
  }

  #linesKey(place: StreamPlace): string {
    return `${this.#folder}/lines/${placeName(place)}`;
  }
}

async function* piecesOf(
  lines: Iterable<string>,
  isGivenUp: () => boolean,
): AsyncGenerator<Uint8Array, void> {
  let piece = `${FIRST_LINE}\n`;
  for (const line of lines) {
    piece += `${line}\n`;
    if (piece.length < PIECE_LENGTH) continue;
    yield Buffer.from(piece);
    piece = "";
    await turn();
    if (isGivenUp()) throw new FarmError("wrong-state", "the journal was closed meanwhile");
  }
  yield Buffer.from(piece);
}

function placeName({ head, sequence }: StreamPlace): string {
  return `${padded(head.number)}-${head.hash}-${padded(sequence)}`;
}

function padded(number: number): string {
  return String(number).padStart(16, "0");
}
