import { Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { describe, expect, test } from "vitest";
import { ErrorInfo } from "../../../proto/gen/google/rpc/error_details.js";
import { Status } from "../../../proto/gen/google/rpc/status.js";
import { FarmError, type FarmErrorCode } from "../../core/errors.js";
import { fromServiceError, toServiceError, toStatusJson } from "./status.js";

const codes: [FarmErrorCode, status][] = [
  ["invalid-argument", status.INVALID_ARGUMENT],
  ["not-found", status.NOT_FOUND],
  ["wrong-state", status.FAILED_PRECONDITION],
  ["checkpoint-invalid", status.FAILED_PRECONDITION],
  ["exhausted", status.RESOURCE_EXHAUSTED],
  ["unreachable", status.UNAVAILABLE],
  ["deadline", status.DEADLINE_EXCEEDED],
  ["blob-corrupt", status.DATA_LOSS],
  ["cancelled", status.CANCELLED],
  ["numerical", status.INTERNAL],
];

test.each(codes)("%s travels as a canonical status and comes back as itself", (code, expected) => {
  const sent = toServiceError(new FarmError(code, "what happened"));
  expect(sent.code).toBe(expected);
  expect(sent.details).toBe("what happened");
  expect(fromServiceError(sent)).toMatchObject({ code, detail: "what happened", violations: [] });
});

test("every violation travels", () => {
  const violations = [
    { field: "height", description: "'7' is no multiple of 8" },
    { field: "fps", description: "'0' is no whole number" },
  ];
  const sent = toServiceError(new FarmError("invalid-argument", "2 fields", { violations }));
  expect(fromServiceError(sent).violations).toEqual(violations);
});

test("the trailers hold a google.rpc.Status with exactly one ErrorInfo of our domain", () => {
  const sent = toServiceError(new FarmError("blob-missing", "gone"));
  const [bytes] = sent.metadata.get("grpc-status-details-bin");
  const whole = Status.decode(bytes as Buffer);
  expect(whole).toMatchObject({ code: status.DATA_LOSS, message: "gone" });
  expect(whole.details).toHaveLength(1);
  expect(ErrorInfo.decode(whole.details[0]!.value)).toEqual({
    reason: "BLOB_MISSING",
    domain: "renderfarm",
    metadata: {},
  });
});

describe("what belongs to a code travels beside ErrorInfo", () => {
  const detailsOf = (error: FarmError) => toStatusJson(error).details.slice(1);
  const type = (name: string) => `type.googleapis.com/google.rpc.${name}`;
  const thing = { kind: "job", name: "jobs/abc" } as const;

  test("what is not there", () => {
    const error = new FarmError("not-found", "there is no job 'abc'", { thing });
    const [info] = toStatusJson(error).details;
    expect(info).toMatchObject({ reason: "NOT_FOUND", metadata: { resource: "jobs/abc" } });
    expect(detailsOf(error)).toEqual([
      {
        "@type": type("ResourceInfo"),
        ...{ resourceType: "renderfarm.v1.Job", resourceName: "jobs/abc" },
        description: "there is no job 'abc'",
      },
    ]);
  });

  test("what is in a state that forbids it", () => {
    const error = new FarmError("wrong-state", "job abc has ended", { thing });
    const failed = { type: "STATE", subject: "jobs/abc", description: "job abc has ended" };
    expect(detailsOf(error)).toEqual([
      { "@type": type("PreconditionFailure"), violations: [failed] },
    ]);
  });

  test("whose bound was reached, and when to come back", () => {
    const bound = { subject: "owner:alice", retryAfterMs: 1_500 };
    const error = new FarmError("exhausted", "too many", { bound });
    expect(detailsOf(error)).toEqual([
      {
        "@type": type("QuotaFailure"),
        violations: [{ subject: "owner:alice", description: "too many" }],
      },
      { "@type": type("RetryInfo"), retryDelay: "1.5s" },
    ]);
  });

  test("when a farm that cannot answer may be asked again", () => {
    const retry = { "@type": type("RetryInfo"), retryDelay: "2s" };
    expect(detailsOf(new FarmError("unreachable", "no node is connected"))).toEqual([retry]);
    expect(detailsOf(new FarmError("exhausted", "full"))).toEqual([retry]);
  });

  test("nothing else: an error that cannot be helped by waiting says no time", () => {
    expect(detailsOf(new FarmError("numerical", "NaN"))).toEqual([]);
    expect(detailsOf(new FarmError("not-found", "no path"))).toEqual([]);
  });
});

test("a thousand long violations still fit into trailers", () => {
  const violations = Array.from({ length: 1000 }, (_, i) => ({
    field: `images[${i}]`,
    description: "x".repeat(10_000),
  }));
  const sent = toServiceError(new FarmError("invalid-argument", "y".repeat(1e6), { violations }));
  const [bytes] = sent.metadata.get("grpc-status-details-bin");
  expect((bytes as Buffer).length).toBeLessThan(16 * 1024);
  expect(sent.details.length).toBeLessThan(4096);
});

test("a bug leaves as INTERNAL, never as UNKNOWN", () => {
  expect(toServiceError(new TypeError("x is undefined")).code).toBe(status.INTERNAL);
  expect(toServiceError("a string").code).toBe(status.INTERNAL);
});

describe("a status without details of ours is read by its canonical code", () => {
  const foreign = (code: status, details?: Buffer): ServiceError => {
    const metadata = new Metadata();
    if (details) metadata.set("grpc-status-details-bin", details);
    return Object.assign(new Error("m"), { code, details: "from a proxy", metadata });
  };
  const cases: [name: string, error: ServiceError, code: FarmErrorCode][] = [
    ["no server there", foreign(status.UNAVAILABLE), "unreachable"],
    ["too late", foreign(status.DEADLINE_EXCEEDED), "deadline"],
    ["a refused token", foreign(status.UNAUTHENTICATED), "unauthenticated"],
    ["an unknown status", foreign(status.UNKNOWN), "runtime-failed"],
    [
      "details that are no message",
      foreign(status.NOT_FOUND, Buffer.from([0xff, 1, 2])),
      "not-found",
    ],
    ["another domain's reason", foreign(status.NOT_FOUND, otherDomain()), "not-found"],
  ];
  test.each(cases)("%s", (_name, error, code) => {
    expect(fromServiceError(error)).toMatchObject({ code, detail: "from a proxy" });
  });
});

function otherDomain(): Buffer {
  const info = { reason: "CANCELLED", domain: "example.com", metadata: {} };
  const typeUrl = "type.googleapis.com/google.rpc.ErrorInfo";
  const value = Buffer.from(ErrorInfo.encode(info).finish());
  const whole = { code: status.NOT_FOUND, message: "", details: [{ typeUrl, value }] };
  return Buffer.from(Status.encode(whole).finish());
}
