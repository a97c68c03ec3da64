/**
 * @file Port: where inputs, conditioning, latents, frames and videos lie between tasks.
 *
 * Embedded: a directory. Production: any S3. Whoever reads checks size and sha256 of what came.
 */

/** Names bytes in the store. */
export interface BlobRef {
  /** "/"-separated segments of [A-Za-z0-9._-], no segment starting with a dot. */
  readonly key: string;
  /** Lower-case hex. */
  readonly sha256: string;
  /** Bytes. */
  readonly size: number;
}

/** A blob as a listing shows it. */
export interface BlobEntry {
  readonly key: string;
  /** Bytes. */
  readonly size: number;
  /** When it was put, milliseconds since 1970, by the store's clock. */
  readonly putAtMs: number;
}

export interface BlobStore {
  /**
   * Stores bytes under a key, whole or not at all; an existing blob is replaced.
   *
   * @throws FarmError "unreachable" when the store cannot take it
   */
  put(key: string, pieces: Uint8Array | AsyncIterable<Uint8Array>): Promise<BlobRef>;

  /** Stores bytes under a key unless it is taken: of several racers exactly one gets "created". */
  putIfAbsent(key: string, bytes: Uint8Array): Promise<"created" | "exists">;

  /**
   * The bytes of a blob, checked.
   *
   * @throws FarmError "blob-missing" or "blob-corrupt", naming the key
   */
  get(ref: BlobRef): Promise<Uint8Array>;

  /** As `get`, in pieces; the last piece comes only after the checksum was found right. */
  read(ref: BlobRef): AsyncIterable<Uint8Array>;

  /** Removes every blob whose key starts with the prefix; returns how many. */
  removeAll(prefix: string): Promise<number>;

  /** Every blob whose key starts with the prefix, in no order; "" lists the whole store. */
  list(prefix: string): AsyncIterable<BlobEntry>;

  /** Removes one blob; false when there is none. */
  remove(key: string): Promise<boolean>;

  /**
   * A URL that reads one blob, as a download of that name, for whoever has it; asks no server.
   * Absent where the store gives no links.
   *
   * @param seconds how long it is good, 1 to 300
   * @throws FarmError "invalid-argument"
   */
  link?(key: string, fileName: string, seconds: number): Promise<string>;
}
