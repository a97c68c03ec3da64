/** @file grpc.health.v1: whether the coordinator serves, for load balancers and their like. */
import type { Server } from "@grpc/grpc-js";
import { HealthImplementation } from "grpc-health-check";
import type { Logger } from "pino";
import type { LoopWatch } from "../../shared/adapters/clock/loop-watch.js";

/** What is asked for: the whole, or one service. */
const SERVED = ["", "renderfarm.v1.JobService", "renderfarm.v1.NodeService"];

/**
 * Adds the service; it says SERVING but while the event loop is behind.
 *
 * @returns says NOT_SERVING for good
 */
export function addHealth(server: Server, pace: LoopWatch | null, log: Logger): () => void {
  const health = new HealthImplementation(statusOfAll("SERVING"));
  const say = (status: "SERVING" | "NOT_SERVING"): void => {
    for (const service of SERVED) health.setStatus(service, status);
  };
  health.addToServer(server);
  const forget = pace?.onChange((whyBehind) => {
    if (whyBehind !== null) log.warn({ reason: whyBehind }, "not serving until it keeps up again");
    say(whyBehind === null ? "SERVING" : "NOT_SERVING");
  });
  return () => {
    forget?.();
    say("NOT_SERVING");
  };
}

function statusOfAll<Status>(status: Status): Record<string, Status> {
  return Object.fromEntries(SERVED.map((service) => [service, status]));
}
