/**
 * @file FarmError as a gRPC status and back: the canonical code for everyone, and a google.rpc.Status
 * in the trailers with all there is to say (`error-details.ts`).
 *
 * @source AIP-193; google/rpc/status.proto
 */
import { Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { Status } from "../../../proto/gen/google/rpc/status.js";
import { asFarmError, FarmError, type FarmErrorCode } from "../../core/errors.js";
import { decodeDetails, detailJson, encodeDetails } from "./error-details.js";

const DETAILS_KEY = "grpc-status-details-bin";
/** Of a message: it travels in trailers, and proxies allow few KiB of those. */
const MESSAGE_LENGTH_MAX = 2_000;

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
    details: encodeDetails(known).map(detailJson),
  };
}

/** A failed call as our error; one that carries no details of ours is read by its status. */
export function fromServiceError(error: ServiceError): FarmError {
  const { code, violations } = detailsIn(error);
  return new FarmError(code ?? CODE_OF_STATUS[error.code] ?? "runtime-failed", error.details, {
    violations,
    cause: error,
  });
}

/** Nothing where the other side sent no details, or none that can be read. */
function detailsIn(error: ServiceError): ReturnType<typeof decodeDetails> {
  const bytes = error.metadata?.get(DETAILS_KEY)[0];
  try {
    return decodeDetails(bytes instanceof Uint8Array ? Status.decode(bytes).details : []);
  } catch {
    return decodeDetails([]); // the status itself still says what happened
  }
}
