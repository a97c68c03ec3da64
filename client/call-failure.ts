/** @file What a call that failed means to whoever made it. */
import type { ServiceError } from "@grpc/grpc-js";
import { fromServiceError } from "../shared/adapters/grpc/status.js";
import { FarmError } from "../shared/core/errors.js";

/** @param address of the farm, for a call that nobody answered */
export function callFailure(error: unknown, address: string): FarmError {
  if (error instanceof FarmError) return error;
  const known = fromServiceError(error as ServiceError);
  if (known.code !== "unreachable") return known;
  const reason = known.detail.replace(/ Resolution note: *$/, "");
  return new FarmError("unreachable", `no answer from ${address}: ${reason}`, { cause: error });
}
