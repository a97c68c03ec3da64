/** @file What a call that failed means to whoever made it. */
import type { ServiceError } from "@grpc/grpc-js";
import { fromServiceError } from "../shared/adapters/grpc/status.js";
import { FarmError } from "../shared/core/errors.js";

/**
 * Whoever aborts a call has his own error for it. So a call that gRPC says was cancelled was cut by
 * the other side: a server or a proxy that closes resets its streams with that code.
 *
 * @param address of the farm, for a call that nobody answered
 */
export function callFailure(error: unknown, address: string): FarmError {
  if (error instanceof FarmError) return error;
  const known = fromServiceError(error as ServiceError);
  if (known.code !== "unreachable" && known.code !== "cancelled") return known;
  const reason = known.detail.replace(/ Resolution note: *$/, "");
  return new FarmError("unreachable", `no answer from ${address}: ${reason}`, { cause: error });
}
