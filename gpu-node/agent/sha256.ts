/** @file A checksum as frames and plans carry it. */
import { createHash } from "node:crypto";

/** In lower-case hex digits. */
export function sha256(data: string | Uint8Array): string {
  return createHash("sha256").update(data).digest("hex");
}
