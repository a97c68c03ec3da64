/** @file Puts the meters on a node's parts, or leaves them as they are. */
import type { Registry } from "prom-client";
import { ObservedBlobStore } from "../../shared/adapters/metrics/observed-blob-store.js";
import { observedTensorBus } from "../../shared/adapters/metrics/observed-tensor-bus.js";
import { transferMetrics } from "../../shared/adapters/metrics/transfer-metrics.js";
import type { BlobStore } from "../../shared/ports/blob-store.js";
import type { Clock } from "../../shared/ports/clock.js";
import type { TensorBus } from "../../shared/ports/tensor-bus.js";
import type { Runtime } from "../runtime/runtime.js";
import { NodeMetrics, type NodeMetricsOptions } from "./metrics.js";
import { type NodeObserver, silentNodeObserver } from "./node-observer.js";

export interface NodeMeters {
  readonly observer: NodeObserver;
  runtime(runtime: Runtime): Runtime;
  /** @param transport "files" or "s3" */
  blobs(store: BlobStore, transport: string): BlobStore;
  /** @param transport "socket" or "nats" */
  bus(bus: TensorBus, transport: string): TensorBus;
}

const NO_METERS: NodeMeters = {
  observer: silentNodeObserver,
  runtime: (runtime) => runtime,
  blobs: (store) => store,
  bus: (bus) => bus,
};

/** @param registry null: nothing is measured */
export function nodeMeters(
  registry: Registry | null,
  options: Omit<NodeMetricsOptions, "registry">,
  clock: Pick<Clock, "nowMs">,
): NodeMeters {
  if (!registry) return NO_METERS;
  const observer = new NodeMetrics({ ...options, registry });
  const transfers = transferMetrics(registry);
  return {
    observer,
    runtime: (runtime) => ({
      run: async (graph, inputs) => {
        const startMs = clock.nowMs();
        try {
          return await runtime.run(graph, inputs);
        } finally {
          observer.computed((clock.nowMs() - startMs) / 1_000);
        }
      },
      close: () => runtime.close(),
    }),
    blobs: (store, transport) => new ObservedBlobStore(store, transport, transfers, clock),
    bus: (bus, transport) => observedTensorBus(bus, transport, transfers),
  };
}
