/**
 * @file Checks of what came from the wire; each names the field, as in the .proto files.
 *
 * Every id becomes part of a key, a path or a subject sooner or later, so none passes unchecked.
 */
import { FarmError } from "../../core/errors.js";
import { ID_PATTERN } from "../../core/ids.js";

/** A DNS label, so that a pod's name can be a node's id. */
export const NODE_ID_PATTERN = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
/** "<job>-<clip index>". */
const CLIP_ID_PATTERN = /^[a-z0-9]{26}-\d{1,7}$/;
/** "<job>-<clip index>-<stage>", for decode chunks with "-<chunk index>". */
const TASK_ID_PATTERN = /^[a-z0-9]{26}-\d{1,7}-[a-z]{1,16}(?:-\d{1,7})?$/;
const SHA256_PATTERN = /^[0-9a-f]{64}$/;
const HOST_PORT_PATTERN = /^(?:\[[0-9a-f:.]+\]|[A-Za-z0-9.-]+):\d{1,5}$/;
/** "nats:<prefix>.v1.cfg.<node>". */
const BUS_SUBJECT_PATTERN = /^nats:[a-z0-9-]{1,32}\.v1\.cfg\.[a-z0-9-]{1,63}$/;

/** Longest text that passes where no pattern bounds it. */
const TEXT_LENGTH_MAX = 4_096;

/** Refuses one field of a message. */
export function refuseField(field: string, description: string): never {
  throw new FarmError("invalid-argument", `${field}: ${description}`, {
    violations: [{ field, description }],
  });
}

/** A message field that proto3 cannot make mandatory. */
export function present<T>(value: T | undefined, field: string): T {
  return value ?? refuseField(field, "is missing");
}

function matching(value: string, pattern: RegExp, field: string, legal: string): string {
  if (pattern.test(value)) return value;
  return refuseField(field, `${JSON.stringify(value.slice(0, 80))} is not ${legal}`);
}

export const jobId = (value: string, field: string): string =>
  matching(value, ID_PATTERN, field, "26 characters of [a-z0-9]");

export const bootId = jobId;

export const clipId = (value: string, field: string): string =>
  matching(value, CLIP_ID_PATTERN, field, "a job id, a dash and a clip index");

export const taskId = (value: string, field: string): string =>
  matching(value, TASK_ID_PATTERN, field, "a clip id, a dash and a stage");

export const nodeId = (value: string, field: string): string =>
  matching(value, NODE_ID_PATTERN, field, "1 to 63 characters of [a-z0-9-], no dash at its ends");

export const sha256 = (value: string, field: string): string =>
  matching(value, SHA256_PATTERN, field, "64 lower-case hex digits");

function hostPort(value: string, field: string): string {
  matching(value, HOST_PORT_PATTERN, field, "host:port");
  const port = Number(value.slice(value.lastIndexOf(":") + 1));
  return port >= 1 && port <= 65_535 ? value : refuseField(field, `port ${port} is not 1 to 65535`);
}

/** Where a node's tensor bus is reached: a socket, or a subject on the farm's message broker. */
export function busAddress(value: string, field: string): string {
  return BUS_SUBJECT_PATTERN.test(value) ? value : hostPort(value, field);
}

/** A text of 1 to `lengthMax` characters. */
export function text(value: string, field: string, lengthMax = TEXT_LENGTH_MAX): string {
  if (value.length >= 1 && value.length <= lengthMax) return value;
  return refuseField(field, `has ${value.length} characters, not 1 to ${lengthMax}`);
}

/** An integer at least `min`; the wire form already bounds it above. */
export function atLeast(value: number, min: number, field: string): number {
  return Number.isInteger(value) && value >= min
    ? value
    : refuseField(field, `${value} is not an integer of at least ${min}`);
}

/** A 64-bit number that a double holds exactly. */
export function safeInteger(value: bigint, field: string): number {
  return value >= 0n && value <= BigInt(Number.MAX_SAFE_INTEGER)
    ? Number(value)
    : refuseField(field, `${value} is not an integer from 0 to ${Number.MAX_SAFE_INTEGER}`);
}

/** Any number but NaN and the infinities. */
export function finite(value: number, field: string): number {
  return Number.isFinite(value) ? value : refuseField(field, `${value} is not a finite number`);
}

/** Seconds: finite and not negative. */
export function seconds(value: number, field: string): number {
  return finite(value, field) >= 0 ? value : refuseField(field, `${value} is negative`);
}

/** The key under which a table holds a wire value; the zero and unknown values have none. */
export function fromWire<K extends string>(
  table: Readonly<Record<K, string>>,
  value: string,
  field: string,
): K {
  const found = (Object.keys(table) as K[]).find((key) => table[key] === value);
  return found ?? refuseField(field, `${value} is not one of ${Object.keys(table).join(", ")}`);
}
