/**
 * @file What each call needs. A call that is not in this table is refused to everyone, so that a new
 * one is closed until somebody has thought about it.
 */
import type { Scope } from "../../shared/access/scopes.js";

export type Rule =
  | {
      readonly who: "user";
      readonly scope: Scope;
      /** Its name in the audit log, which has every call that changes something; null: not there. */
      readonly action: string | null;
    }
  | { readonly who: "node"; readonly action: string }
  /** Says whether the process serves, and nothing else. */
  | { readonly who: "anyone" };

const reads: Rule = { who: "user", scope: "read", action: null };
const changes = (scope: Scope, action: string): Rule => ({ who: "user", scope, action });

/** By the full name of the method. */
export const RULES: ReadonlyMap<string, Rule> = new Map([
  ["/renderfarm.v1.JobService/CreateJob", changes("submit", "job.create")],
  ["/renderfarm.v1.JobService/GetJob", reads],
  ["/renderfarm.v1.JobService/WatchJob", reads],
  ["/renderfarm.v1.JobService/CancelJob", changes("cancel", "job.cancel")],
  ["/renderfarm.v1.JobService/ListJobs", reads],
  ["/renderfarm.v1.JobService/PauseJob", changes("cancel", "job.pause")],
  ["/renderfarm.v1.JobService/ResumeJob", changes("submit", "job.resume")],
  ["/renderfarm.v1.JobService/RetryJob", changes("submit", "job.retry")],
  ["/renderfarm.v1.JobService/SetJobPriority", changes("submit", "job.priority")],
  ["/renderfarm.v1.JobService/DeleteJob", changes("cancel", "job.delete")],
  ["/renderfarm.v1.JobService/DrainNode", changes("admin", "node.drain")],
  ["/renderfarm.v1.JobService/UndrainNode", changes("admin", "node.undrain")],
  ["/renderfarm.v1.JobService/CollectGarbage", changes("admin", "farm.collect-garbage")],
  ["/renderfarm.v1.JobService/UploadInput", changes("submit", "input.upload")],
  ["/renderfarm.v1.JobService/ListJobEvents", reads],
  ["/renderfarm.v1.JobService/ListOutputs", reads],
  ["/renderfarm.v1.JobService/DownloadOutput", reads],
  ["/renderfarm.v1.JobService/GetOutputLink", reads],
  ["/renderfarm.v1.JobService/GetFarm", reads],
  ["/renderfarm.v1.NodeService/Connect", { who: "node", action: "node.connect" }],
  ["/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", reads],
  ["/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", reads],
  ["/grpc.health.v1.Health/Check", { who: "anyone" }],
  ["/grpc.health.v1.Health/List", { who: "anyone" }],
  ["/grpc.health.v1.Health/Watch", { who: "anyone" }],
] satisfies [string, Rule][]);
