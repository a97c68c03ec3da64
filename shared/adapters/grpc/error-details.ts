/**
 * @file What an error says beside its code and message, as messages of google.rpc: one ErrorInfo always,
 * and of the others those that belong to its code, each at most once.
 *
 * @source AIP-193; google/rpc/error_details.proto
 */
import type { Any } from "../../../proto/gen/google/protobuf/any.js";
import {
  BadRequest,
  type DeepPartial,
  ErrorInfo,
  type MessageFns,
  PreconditionFailure,
  QuotaFailure,
  ResourceInfo,
  RetryInfo,
} from "../../../proto/gen/google/rpc/error_details.js";
import {
  type FarmError,
  type FarmErrorCode,
  isFarmErrorCode,
  type Thing,
  type Violation,
} from "../../core/errors.js";

/** The domain in which our reasons are unique. */
const ERROR_DOMAIN = "renderfarm";
/** Bounds of details: they travel in trailers, and proxies allow few KiB of those. */
const DESCRIPTION_LENGTH_MAX = 300;
const VIOLATIONS_MAX = 20;
/** A farm that cannot be reached now, or is full, may be another one after so long. */
const RETRY_MS_DEFAULT = 2_000;

/** By the name of their message in google.rpc. */
const TYPES = {
  ErrorInfo,
  BadRequest,
  ResourceInfo,
  PreconditionFailure,
  QuotaFailure,
  RetryInfo,
} as const;
type TypeName = keyof typeof TYPES;
type Message<N extends TypeName> = ReturnType<(typeof TYPES)[N]["decode"]>;

const TYPE_PREFIX = "type.googleapis.com/google.rpc.";

/** How one thing of the farm is called in ResourceInfo. */
const RESOURCE_TYPES = {
  job: "renderfarm.v1.Job",
  clip: "renderfarm.v1.Clip",
  output: "renderfarm.v1.Output",
  node: "renderfarm.v1.FarmNode",
} as const satisfies Record<Thing["kind"], string>;

export function encodeDetails(error: FarmError): Any[] {
  const { code, thing, bound, violations } = error;
  const description = error.detail.slice(0, DESCRIPTION_LENGTH_MAX);
  const metadata = {
    ...(thing === null ? {} : { resource: thing.name }),
    ...(bound === null ? {} : { subject: bound.subject }),
  };
  const details = [detail("ErrorInfo", { reason: toReason(code), domain: ERROR_DOMAIN, metadata })];
  if (violations.length > 0) {
    const fieldViolations = violations.slice(0, VIOLATIONS_MAX).map((violation) => ({
      field: violation.field,
      description: violation.description.slice(0, DESCRIPTION_LENGTH_MAX),
    }));
    details.push(detail("BadRequest", { fieldViolations }));
  }
  if (code === "not-found" && thing !== null) {
    const [resourceType, resourceName] = [RESOURCE_TYPES[thing.kind], thing.name];
    details.push(detail("ResourceInfo", { resourceType, resourceName, description }));
  }
  if (code === "wrong-state" && thing !== null) {
    const failed = { type: "STATE", subject: thing.name, description };
    details.push(detail("PreconditionFailure", { violations: [failed] }));
  }
  if (bound !== null) {
    const failed = { subject: bound.subject, description };
    details.push(detail("QuotaFailure", { violations: [failed] }));
  }
  const retryMs = retryAfterMs(error);
  if (retryMs !== null) {
    const nanos = Math.round(retryMs % 1_000) * 1_000_000;
    const retryDelay = { seconds: BigInt(Math.floor(retryMs / 1_000)), nanos };
    details.push(detail("RetryInfo", { retryDelay }));
  }
  return details;
}

/** When the same call may be worth another try; null: whenever the caller changes something. */
export function retryAfterMs({ code, bound }: FarmError): number | null {
  if (bound !== null) return bound.retryAfterMs;
  return code === "unreachable" || code === "exhausted" ? RETRY_MS_DEFAULT : null;
}

/** One of our details in proto3 JSON. */
export function detailJson({ typeUrl, value }: Any): object {
  const name = typeUrl.replace(TYPE_PREFIX, "") as TypeName;
  const fields = withoutEmpty(TYPES[name].decode(value)) as object;
  if (name !== "RetryInfo") return { "@type": typeUrl, ...fields };
  const { seconds = 0n, nanos = 0 } = RetryInfo.decode(value).retryDelay ?? {};
  // A google.protobuf.Duration is a text in JSON.
  return { "@type": typeUrl, retryDelay: `${Number(seconds) + nanos / 1e9}s` };
}

/** ts-proto fills in what was not sent; JSON leaves it out. */
function withoutEmpty(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutEmpty);
  if (typeof value !== "object" || value === null) return value;
  const fields = Object.entries(value).map(([name, field]) => [name, withoutEmpty(field)] as const);
  const isEmpty = (field: unknown) =>
    field === undefined ||
    field === "" ||
    field === 0n ||
    (typeof field === "object" && Object.keys(field ?? {}).length === 0);
  return Object.fromEntries(fields.filter(([, field]) => !isEmpty(field)));
}

/** Our own code and the violations; nothing of details that are not ours. */
export function decodeDetails(details: readonly Any[]): {
  code: FarmErrorCode | null;
  violations: Violation[];
} {
  let code: FarmErrorCode | null = null;
  const violations: Violation[] = [];
  for (const { typeUrl, value } of details) {
    if (typeUrl === `${TYPE_PREFIX}ErrorInfo`) {
      const { domain, reason } = ErrorInfo.decode(value);
      const own = fromReason(reason);
      if (domain === ERROR_DOMAIN && isFarmErrorCode(own)) code = own;
    } else if (typeUrl === `${TYPE_PREFIX}BadRequest`) {
      for (const { field, description } of BadRequest.decode(value).fieldViolations) {
        violations.push({ field, description });
      }
    }
  }
  return { code, violations };
}

function detail<N extends TypeName>(name: N, fields: DeepPartial<Message<N>>): Any {
  const type = TYPES[name] as unknown as MessageFns<object>;
  const value = Buffer.from(type.encode(type.fromPartial(fields as object)).finish());
  return { typeUrl: `${TYPE_PREFIX}${name}`, value };
}

/** "blob-missing" <-> "BLOB_MISSING". */
function toReason(code: FarmErrorCode): string {
  return code.toUpperCase().replaceAll("-", "_");
}

function fromReason(reason: string): string {
  return reason.toLowerCase().replaceAll("_", "-");
}
