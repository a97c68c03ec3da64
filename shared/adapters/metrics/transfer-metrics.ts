/** @file What moves between this process, the store and its partners, as Prometheus metrics. */
import { Counter, exponentialBuckets, Histogram, type Registry } from "prom-client";
import type { TransferObserver } from "../../ports/transfer-observer.js";

/** 1 ms, a small blob on this machine, to 65 s, a large one over a slow link. */
const SECONDS = exponentialBuckets(0.001, 4, 9);

export function transferMetrics(registry: Registry): TransferObserver {
  const registers = [registry];
  const bytes = new Counter({
    name: "renderfarm_tensor_transfer_bytes_total",
    help: "Payload bytes that went through a transport (files, s3, socket, nats), by direction as this process sees it.",
    labelNames: ["transport", "direction"],
    registers,
  });
  const seconds = new Histogram({
    name: "renderfarm_tensor_transfer_duration_seconds",
    help: "Seconds of one put or get of the blob store, the checks of its bytes included.",
    labelNames: ["transport", "direction"],
    buckets: SECONDS,
    registers,
  });
  const errors = new Counter({
    name: "renderfarm_transport_errors_total",
    help: "Operations that a store, bus or journal could not do, by operation and error code.",
    labelNames: ["transport", "operation", "code"],
    registers,
  });
  return {
    moved(transport, direction, moved, took) {
      bytes.inc({ transport, direction }, moved);
      if (took !== null) seconds.observe({ transport, direction }, took);
    },
    failed(transport, operation, code) {
      errors.inc({ transport, operation, code });
    },
  };
}
