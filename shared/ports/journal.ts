/**
 * @file Port: the farm's events in order, the one durable truth.
 *
 * Embedded: an append-only file. Production: a JetStream stream.
 */
export interface Journal {
  /** Every record from the first one; to be read once, before the first append. */
  read(): AsyncIterable<string>;
  /**
   * Appends records in order; resolves once they survive a crash of this machine.
   *
   * @param records JSON texts without line breaks
   */
  append(records: readonly string[]): Promise<void>;
  close(): Promise<void>;
}
