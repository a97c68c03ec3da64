/**
 * @file Where a page of jobs ended, as clients carry it: a text that means nothing to them.
 *
 * @source AIP-158: the token is opaque, and the other arguments stay the same from page to page
 */
import { createHash } from "node:crypto";
import type { ListJobsRequest } from "../../proto/gen/renderfarm/v1/job_service.js";
import { refuseField } from "../../shared/adapters/grpc/wire-checks.js";

/** The last job of a page: the next one begins with what was made before it. */
interface PageEnd {
  readonly jobId: string;
  readonly createdAtMs: number;
}

type Filter = Pick<ListJobsRequest, "states" | "labelSelector">;

export function encodePageToken({ jobId, createdAtMs }: PageEnd, filter: Filter): string {
  const fields = [jobId, createdAtMs, markOf(filter)];
  return Buffer.from(JSON.stringify(fields)).toString("base64url");
}

/** @throws FarmError "invalid-argument" for a token of another list, or one that never was one */
export function decodePageToken(token: string, filter: Filter): PageEnd {
  const [jobId, createdAtMs, mark] = fieldsOf(token);
  if (typeof jobId !== "string" || typeof createdAtMs !== "number") {
    return refuseField("page_token", "is not from an earlier answer; begin anew without one");
  }
  if (mark !== markOf(filter)) {
    const way = "ask for the next page with those of the first";
    refuseField("page_token", `is from a list with other states or another label_selector; ${way}`);
  }
  return { jobId, createdAtMs };
}

/**
 * Where the next page begins: after the job that ended the last one, or where that one would have been
 * if it was deleted meanwhile: then another one of the same millisecond may come twice, and none is left out.
 *
 * @param jobs the newest first
 */
export function startOfPage(end: PageEnd, jobs: readonly PageEnd[]): number {
  const at = jobs.findIndex(({ jobId }) => jobId === end.jobId);
  if (at >= 0) return at + 1;
  const older = jobs.findIndex(({ createdAtMs }) => createdAtMs <= end.createdAtMs);
  return older < 0 ? jobs.length : older;
}

function fieldsOf(token: string): unknown[] {
  try {
    const fields: unknown = JSON.parse(Buffer.from(token, "base64url").toString());
    return Array.isArray(fields) ? fields : [];
  } catch {
    return [];
  }
}

function markOf({ states, labelSelector }: Filter): string {
  const text = JSON.stringify([states, labelSelector]);
  return createHash("sha256").update(text).digest("base64url").slice(0, 8);
}
