/** @file Port: who hears of bytes that go to and come from a blob store, a bus or a journal. */
import type { FarmErrorCode } from "../core/errors.js";

/** Seen from this process. */
export type Direction = "in" | "out";

export interface TransferObserver {
  /**
   * Bytes went through.
   *
   * @param transport which adapter: "files", "s3", "socket", "nats"
   * @param seconds from the call to its end; null where the transport does not tell
   */
  moved(transport: string, direction: Direction, bytes: number, seconds: number | null): void;
  /** A transport could not do what it was asked. */
  failed(transport: string, operation: string, code: FarmErrorCode): void;
}
