/** @file What can go wrong with one request to an S3 server, and whether to try it again. */
import { FarmError } from "../../core/errors.js";

/** One failed request. */
export class S3Failure extends Error {
  override readonly name = "S3Failure";
  /** Of the HTTP answer; null when none came. */
  readonly status: number | null;
  /** The server's word for it, or a system error's code. */
  readonly code: string;
  /** Whether the request may have been carried out although it failed. */
  readonly isAmbiguous: boolean;

  constructor(
    failure: { readonly status: number | null; readonly code: string },
    detail: string,
    cause: unknown,
  ) {
    super(detail, { cause });
    this.status = failure.status;
    this.code = failure.code;
    this.isAmbiguous = failure.status === null || failure.status >= 500;
  }

  /** Whether the same request may succeed a moment later. */
  get isTransient(): boolean {
    if (this.code === "StorageFull" || this.status === 501) return false;
    if (this.status === null || this.status < 300) return true;
    return this.status >= 500 || [408, 409, 429].includes(this.status);
  }
}

/** Words for a full disk, as servers say it. */
const FULL_CODES = new Set(["XMinioStorageFull", "StorageFull", "InsufficientStorage", "507"]);

/** Node's words for a certificate whose roots are not those that are trusted. */
const UNKNOWN_ISSUER_CODES = new Set([
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
]);

/** Any error of a request as S3Failure. */
export function toS3Failure(error: unknown, status: number | null, isLate: boolean): S3Failure {
  if (error instanceof S3Failure) return error;
  const { code, message } = error as { code?: unknown; message?: unknown };
  const text = typeof message === "string" ? message : String(error);
  if (isLate) return new S3Failure({ status: null, code: "deadline" }, "no answer in time", error);
  // A status without an error's word is a whole answer that the package did not like.
  const isAnswer = status !== null && status >= 300;
  const word = typeof code === "string" && code !== "" ? code : isAnswer ? String(status) : text;
  const isFull = status === 507 || FULL_CODES.has(word);
  return new S3Failure(
    { status: isAnswer ? status : null, code: isFull ? "StorageFull" : word },
    isFull ? "the store is full, make room" : text,
    error,
  );
}

/** The failure in the words of the farm: what could not be done, and why. */
export function toFarmError(what: string, error: unknown): unknown {
  if (!(error instanceof S3Failure)) return error;
  const { status, code, message } = error;
  const answer = status === null ? code : `${status} ${code}`;
  return new FarmError("unreachable", `${what} (${answer}): ${hintOf(error) ?? message}`, {
    cause: error,
  });
}

function hintOf({ status, code }: S3Failure): string | null {
  if (code === "RequestTimeTooSkewed") return "this machine's clock differs from the server's";
  if (code === "CERT_HAS_EXPIRED") return "the certificate that the server shows has ended";
  if (UNKNOWN_ISSUER_CODES.has(code)) return "no root in ca= issued what the server shows";
  if (code === "ExpiredToken")
    return "the temporary keys have ended, put newer ones into their files";
  if (code === "NoSuchBucket") return "there is no such bucket, make it";
  if (status === 401 || status === 403)
    return "the server refused the key pair, or its policy does";
  if (status === 503 || status === 429) return "the server asks for fewer requests";
  return null;
}
