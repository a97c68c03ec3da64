/** @file Calls of the HTTP gateway, with the key of this session where one was given. */
import { apiKey, keyIsWanted } from "../state/session.js";
import type {
  BlobRefJson,
  DryRunJson,
  JobJson,
  JobPageJson,
  TimelineJson,
  ViolationJson,
} from "./types.js";

/** What the farm refused, and why. */
export class ApiError extends Error {
  /** HTTP status; 0 when nothing answered. */
  readonly status: number;
  readonly violations: readonly ViolationJson[];

  constructor(status: number, message: string, violations: readonly ViolationJson[] = []) {
    super(message);
    this.status = status;
    this.violations = violations;
  }
}

export function authorization(): Record<string, string> {
  return apiKey.value === "" ? {} : { Authorization: `Bearer ${apiKey.value}` };
}

/** A request that was answered well; throws an ApiError otherwise. */
export async function request(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = { ...authorization(), ...(init.headers as Record<string, string> | undefined) };
  let response: Response;
  try {
    response = await fetch(path, { ...init, headers });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new ApiError(0, "The farm does not answer. Is the coordinator running?");
  }
  if (response.ok) return response;
  if (response.status === 401) keyIsWanted.value = true;
  throw await errorOf(response);
}

async function errorOf(response: Response): Promise<ApiError> {
  try {
    const { message, details } = (await response.json()) as {
      message: string;
      details: { fieldViolations?: ViolationJson[] }[];
    };
    const violations = details.flatMap((detail) => detail.fieldViolations ?? []);
    return new ApiError(response.status, message, violations);
  } catch {
    return new ApiError(response.status, `The farm answered ${response.status}.`);
  }
}

async function json<T>(path: string, init?: RequestInit): Promise<T> {
  return (await request(path, init)).json() as Promise<T>;
}

function post<T>(path: string, body: object, signal?: AbortSignal): Promise<T> {
  return json<T>(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    ...(signal ? { signal } : {}),
  });
}

const jobPath = (jobId: string) => `/v1/jobs/${encodeURIComponent(jobId)}`;

/** Verbs that a job takes without any field. */
export type JobVerb = "cancel" | "pause" | "resume" | "retry";

export const api = {
  listJobs: (pageToken: string, pageSize: number, labelSelector = "") => {
    const query = new URLSearchParams({ pageSize: `${pageSize}`, pageToken, labelSelector });
    return json<JobPageJson>(`/v1/jobs?${query}`);
  },
  createJob: (body: object) => post<{ job: JobJson }>("/v1/jobs", body),
  planJob: (body: object, signal: AbortSignal) =>
    post<{ dryRun: DryRunJson }>("/v1/jobs", { ...body, validateOnly: true }, signal),
  verb: (jobId: string, verb: JobVerb) => post<{ job: JobJson }>(`${jobPath(jobId)}:${verb}`, {}),
  setPriority: (jobId: string, priority: number) =>
    post<{ job: JobJson }>(`${jobPath(jobId)}:setPriority`, { priority }),
  deleteJob: (jobId: string) => request(jobPath(jobId), { method: "DELETE" }),
  drain: (nodeId: string, isDrained: boolean) =>
    post(`/v1/nodes/${encodeURIComponent(nodeId)}:${isDrained ? "drain" : "undrain"}`, {}),
  inputsOf: (jobId: string) => json<{ images: readonly BlobRefJson[] }>(`${jobPath(jobId)}/inputs`),
  timeline: () => json<TimelineJson>("/v1/timeline"),
  upload: (file: Blob) =>
    json<{ blob: BlobRefJson }>("/v1/inputs", {
      method: "POST",
      headers: { "Content-Type": "application/octet-stream" },
      body: file,
    }),
};

export const inputPath = (jobId: string, index: number) => `${jobPath(jobId)}/inputs/${index}`;

export const outputPath = (jobId: string, clipIndex: number, fileName: string) =>
  `${jobPath(jobId)}/clips/${clipIndex}/outputs/${encodeURIComponent(fileName)}`;
