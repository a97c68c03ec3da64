/** @file Events as one line of JSON in the journal. */
import type { FarmEvent } from "../plan/events.js";

/** Seeds are 64-bit, which JSON numbers are not. */
const BIGINT_KEY = "$bigint";

export function encodeEvent(event: FarmEvent): string {
  return JSON.stringify(event, (_key, value: unknown) =>
    typeof value === "bigint" ? { [BIGINT_KEY]: value.toString() } : value,
  );
}

/** Only for records of our own journal, whose integrity its adapter has checked. */
export function decodeEvent(record: string): FarmEvent {
  return JSON.parse(record, (_key, value: unknown) => {
    if (typeof value !== "object" || value === null || !(BIGINT_KEY in value)) return value;
    return BigInt(String(value[BIGINT_KEY]));
  }) as FarmEvent;
}
