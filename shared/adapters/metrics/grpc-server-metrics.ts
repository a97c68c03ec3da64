/**
 * @file Calls of a gRPC server as metrics, under the names of go-grpc-prometheus, so that dashboards
 * made for those work here.
 */
import {
  ServerInterceptingCall,
  type ServerInterceptor,
  type ServerListener,
  status,
} from "@grpc/grpc-js";
import { Counter, Histogram, type Registry } from "prom-client";
import type { Clock } from "../../ports/clock.js";

/** 5 ms, an answer from memory, to 10 s; streams live longer and are not timed. */
const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** Counts every call when it ends, and times those with one answer. */
export function grpcServerMetrics(
  registry: Registry,
  clock: Pick<Clock, "nowMs">,
): ServerInterceptor {
  const of = ["grpc_service", "grpc_method", "grpc_type"] as const;
  const handled = new Counter({
    name: "grpc_server_handled_total",
    help: "Calls that ended, by status code.",
    labelNames: [...of, "grpc_code"],
    registers: [registry],
  });
  const seconds = new Histogram({
    name: "grpc_server_handling_seconds",
    help: "Seconds from a unary call's beginning to its answer.",
    labelNames: of,
    buckets: SECONDS,
    registers: [registry],
  });
  return (method, call) => {
    const [, grpc_service = "", grpc_method = ""] = method.path.split("/");
    const labels = { grpc_service, grpc_method, grpc_type: typeOf(method) };
    const startMs = clock.nowMs();
    let ended = false;
    const end = (grpc_code: string): void => {
      if (ended) return;
      ended = true;
      handled.inc({ ...labels, grpc_code });
      if (labels.grpc_type === "unary") {
        seconds.observe(labels, (clock.nowMs() - startMs) / 1_000);
      }
    };
    const listener: ServerListener = { onCancel: () => end("Canceled") };
    return new ServerInterceptingCall(call, {
      start: (next) => next(listener),
      sendStatus: (answer, next) => {
        end(codeName(answer.code));
        next(answer);
      },
    });
  };
}

function typeOf(method: { requestStream: boolean; responseStream: boolean }): string {
  const { requestStream, responseStream } = method;
  if (requestStream) return responseStream ? "bidi_stream" : "client_stream";
  return responseStream ? "server_stream" : "unary";
}

/** As Go writes it: INVALID_ARGUMENT is InvalidArgument, CANCELLED is Canceled. */
function codeName(code: status): string {
  if (code === status.OK) return "OK";
  if (code === status.CANCELLED) return "Canceled";
  const words = (status[code] ?? "UNKNOWN").toLowerCase().split("_");
  return words.map((word) => `${word[0]?.toUpperCase()}${word.slice(1)}`).join("");
}
