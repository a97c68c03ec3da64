import { Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { toServiceError } from "../shared/adapters/grpc/status.js";
import { FarmError, type FarmErrorCode } from "../shared/core/errors.js";
import { interrupted } from "./abortable-calls.js";
import { callFailure } from "./call-failure.js";

const ADDRESS = "farm.example:7433";

/** As grpc-js makes it where no status of ours came. */
function bare(code: status, details: string): ServiceError {
  return Object.assign(new Error(details), { code, details, metadata: new Metadata() });
}

const cases: [name: string, error: unknown, code: FarmErrorCode, text: string][] = [
  [
    "nobody listens",
    bare(status.UNAVAILABLE, "No connection established. Resolution note: "),
    "unreachable",
    `no answer from ${ADDRESS}: No connection established.`,
  ],
  [
    "the server closed under the call",
    bare(status.CANCELLED, "Call cancelled"),
    "unreachable",
    `no answer from ${ADDRESS}: Call cancelled`,
  ],
  [
    "the coordinator stops",
    toServiceError(new FarmError("unreachable", "the coordinator stops")),
    "unreachable",
    `no answer from ${ADDRESS}: the coordinator stops`,
  ],
  ["a refusal", toServiceError(new FarmError("not-found", "no job x")), "not-found", "no job x"],
  ["an abort of our own", interrupted(), "cancelled", "interrupted"],
];
test.each(cases)("%s", (_name, error, code, detail) => {
  expect(callFailure(error, ADDRESS)).toMatchObject({ code, detail });
});
