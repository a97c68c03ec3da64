/**
 * @file FarmError as a gRPC status and back: the canonical code for everyone, and a google.rpc.Status
 * in the trailers with one ErrorInfo (our own code), every field violation, and for a bound that was
 * reached whose it is and when to come back.
 *
 * @source AIP-193; google/rpc/status.proto and error_details.proto
 */
import { Metadata, type ServiceError, status } from "@grpc/grpc-js";
import type { Any } from "../../../proto/gen/google/protobuf/any.js";
import {
  BadRequest,
  ErrorInfo,
  QuotaFailure,
  RetryInfo,
} from "../../../proto/gen/google/rpc/error_details.js";
import { Status } from "../../../proto/gen/google/rpc/status.js";
import {
  asFarmError,
  type Bound,
  FarmError,
  type FarmErrorCode,
  isFarmErrorCode,
  type Violation,
} from "../../core/errors.js";

/** The domain in which our reasons are unique. */
const ERROR_DOMAIN = "renderfarm";
const DETAILS_KEY = "grpc-status-details-bin";
const TYPE_PREFIX = "type.googleapis.com/";
const ERROR_INFO_TYPE = `${TYPE_PREFIX}google.rpc.ErrorInfo`;
const BAD_REQUEST_TYPE = `${TYPE_PREFIX}google.rpc.BadRequest`;
const QUOTA_FAILURE_TYPE = `${TYPE_PREFIX}google.rpc.QuotaFailure`;
const RETRY_INFO_TYPE = `${TYPE_PREFIX}google.rpc.RetryInfo`;
/** Bounds of a status: it travels in trailers, and proxies allow few KiB of those. */
const MESSAGE_LENGTH_MAX = 2_000;
const DESCRIPTION_LENGTH_MAX = 300;
const VIOLATIONS_MAX = 20;

const STATUS_OF_CODE = {
  "invalid-argument": status.INVALID_ARGUMENT,
  "checkpoint-invalid": status.FAILED_PRECONDITION,
  "graph-shape-mismatch": status.INTERNAL,
  "not-found": status.NOT_FOUND,
  "wrong-state": status.FAILED_PRECONDITION,
  unauthenticated: status.UNAUTHENTICATED,
  "permission-denied": status.PERMISSION_DENIED,
  exhausted: status.RESOURCE_EXHAUSTED,
  unreachable: status.UNAVAILABLE,
  deadline: status.DEADLINE_EXCEEDED,
  "blob-missing": status.DATA_LOSS,
  "blob-corrupt": status.DATA_LOSS,
  "runtime-failed": status.INTERNAL,
  numerical: status.INTERNAL,
  "out-of-memory": status.RESOURCE_EXHAUSTED,
  "device-lost": status.INTERNAL,
  "dependency-failed": status.FAILED_PRECONDITION,
  quarantined: status.FAILED_PRECONDITION,
  "tool-failed": status.INTERNAL,
  cancelled: status.CANCELLED,
} as const satisfies Record<FarmErrorCode, status>;

/** What a status without our details means, e.g. from a proxy or from grpc-js itself. */
const CODE_OF_STATUS: Partial<Record<status, FarmErrorCode>> = {
  [status.INVALID_ARGUMENT]: "invalid-argument",
  [status.NOT_FOUND]: "not-found",
  [status.FAILED_PRECONDITION]: "wrong-state",
  [status.RESOURCE_EXHAUSTED]: "exhausted",
  [status.PERMISSION_DENIED]: "permission-denied",
  [status.UNAUTHENTICATED]: "unauthenticated",
  [status.UNAVAILABLE]: "unreachable",
  [status.DEADLINE_EXCEEDED]: "deadline",
  [status.CANCELLED]: "cancelled",
  [status.DATA_LOSS]: "blob-corrupt",
};

/** Any thrown value as what a gRPC handler hands to its callback. */
export function toServiceError(error: unknown): ServiceError {
  const known = asFarmError(error);
  const code = STATUS_OF_CODE[known.code];
  const message = known.detail.slice(0, MESSAGE_LENGTH_MAX);
  const metadata = new Metadata();
  const whole = Status.encode({ code, message, details: encodeDetails(known) }).finish();
  metadata.set(DETAILS_KEY, Buffer.from(whole));
  return Object.assign(new Error(message), { code, details: message, metadata });
}

/** google.rpc.Status in proto3 JSON. */
export interface StatusJson {
  readonly code: number;
  readonly message: string;
  readonly details: readonly object[];
}

/** Any thrown value as what an HTTP answer holds: the same status, with the same details. */
export function toStatusJson(error: unknown): StatusJson {
  const known = asFarmError(error);
  return {
    code: STATUS_OF_CODE[known.code],
    message: known.detail.slice(0, MESSAGE_LENGTH_MAX),
    details: encodeDetails(known).map(({ typeUrl, value }) => ({
      "@type": typeUrl,
      ...decodeDetail(typeUrl, value),
    })),
  };
}

function decodeDetail(typeUrl: string, value: Uint8Array): object {
  switch (typeUrl) {
    case BAD_REQUEST_TYPE:
      return BadRequest.decode(value);
    case QUOTA_FAILURE_TYPE:
      return { violations: QuotaFailure.decode(value).violations.map(subjectOf) };
    case RETRY_INFO_TYPE: {
      const { seconds = 0n, nanos = 0 } = RetryInfo.decode(value).retryDelay ?? {};
      // A google.protobuf.Duration is a text in JSON.
      return { retryDelay: `${Number(seconds) + nanos / 1e9}s` };
    }
    default:
      return ErrorInfo.decode(value);
  }
}

const subjectOf = ({ subject, description }: { subject: string; description: string }) => ({
  subject,
  description,
});

/** A failed call as our error; one that carries no details of ours is read by its status. */
export function fromServiceError(error: ServiceError): FarmError {
  const { code, violations } = decodeDetails(error);
  return new FarmError(code ?? CODE_OF_STATUS[error.code] ?? "runtime-failed", error.details, {
    violations,
    cause: error,
  });
}

function encodeDetails(error: FarmError): Any[] {
  const info: ErrorInfo = { reason: toReason(error.code), domain: ERROR_DOMAIN, metadata: {} };
  const details: Any[] = [
    { typeUrl: ERROR_INFO_TYPE, value: Buffer.from(ErrorInfo.encode(info).finish()) },
  ];
  if (error.violations.length > 0) {
    const fieldViolations = error.violations.slice(0, VIOLATIONS_MAX).map((violation) => ({
      field: violation.field,
      description: violation.description.slice(0, DESCRIPTION_LENGTH_MAX),
    }));
    const request = BadRequest.encode(BadRequest.fromPartial({ fieldViolations }));
    details.push({ typeUrl: BAD_REQUEST_TYPE, value: Buffer.from(request.finish()) });
  }
  if (error.bound !== null) details.push(...encodeBound(error.bound, error.detail));
  return details;
}

function encodeBound({ subject, retryAfterMs }: Bound, description: string): Any[] {
  const quota = QuotaFailure.fromPartial({ violations: [{ subject, description }] });
  const seconds = BigInt(Math.floor(retryAfterMs / 1_000));
  const retryDelay = { seconds, nanos: Math.round(retryAfterMs % 1_000) * 1_000_000 };
  const retry = RetryInfo.fromPartial({ retryDelay });
  return [
    { typeUrl: QUOTA_FAILURE_TYPE, value: Buffer.from(QuotaFailure.encode(quota).finish()) },
    { typeUrl: RETRY_INFO_TYPE, value: Buffer.from(RetryInfo.encode(retry).finish()) },
  ];
}

/** Nothing where the other side sent no details, or none that can be read. */
function decodeDetails(error: ServiceError): {
  code: FarmErrorCode | null;
  violations: Violation[];
} {
  let code: FarmErrorCode | null = null;
  const violations: Violation[] = [];
  const bytes = error.metadata?.get(DETAILS_KEY)[0];
  if (!(bytes instanceof Uint8Array)) return { code, violations };
  try {
    for (const { typeUrl, value } of Status.decode(bytes).details) {
      if (typeUrl === ERROR_INFO_TYPE) {
        const { domain, reason } = ErrorInfo.decode(value);
        const own = fromReason(reason);
        if (domain === ERROR_DOMAIN && isFarmErrorCode(own)) code = own;
      } else if (typeUrl === BAD_REQUEST_TYPE) {
        for (const { field, description } of BadRequest.decode(value).fieldViolations) {
          violations.push({ field, description });
        }
      }
    }
  } catch {
    return { code: null, violations: [] }; // the status itself still says what happened
  }
  return { code, violations };
}

/** "blob-missing" <-> "BLOB_MISSING". */
function toReason(code: FarmErrorCode): string {
  return code.toUpperCase().replaceAll("-", "_");
}

function fromReason(reason: string): string {
  return reason.toLowerCase().replaceAll("_", "-");
}
