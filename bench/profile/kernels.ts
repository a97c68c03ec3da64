/** @file Reads what onnxruntime's profiler wrote. */

/** One node of the graph as the engine runs it, fused and in its own layout. */
export interface Kernel {
  readonly operator: string;
  /** Of what goes in and comes out, e.g. "[896,64] [256,64] -> [896,256]". */
  readonly shapes: string;
  /** The execution provider that ran it, e.g. "CUDAExecutionProvider". */
  readonly provider: string;
  /** The fastest of its runs. */
  readonly ms: number;
}

interface Event {
  readonly cat: string;
  readonly name: string;
  /** Microseconds. */
  readonly dur: number;
  readonly args: {
    readonly op_name?: string;
    readonly provider?: string;
    readonly input_type_shape?: readonly Readonly<Record<string, readonly number[]>>[];
    readonly output_type_shape?: readonly Readonly<Record<string, readonly number[]>>[];
  };
}

/** Of a kernel's event; the other events of a node are its fences. */
const KERNEL_EVENT = "_kernel_time";

/** @param json a file of the profiler: a list of events in the form that Chromium's tracing reads */
export function kernelsOf(json: string): Kernel[] {
  const byName = new Map<string, Kernel>();
  for (const { cat, name, dur, args } of JSON.parse(json) as Event[]) {
    if (cat !== "Node" || !name.endsWith(KERNEL_EVENT)) continue;
    const ms = Math.min(dur / 1_000, byName.get(name)?.ms ?? Number.POSITIVE_INFINITY);
    const list = (ports: Event["args"]["input_type_shape"]) =>
      (ports ?? []).flatMap((port) => Object.values(port).map((s) => `[${s.join(",")}]`)).join(" ");
    const shapes = `${list(args.input_type_shape)} -> ${list(args.output_type_shape)}`;
    const { op_name: operator = "?", provider = "?" } = args;
    byName.set(name, { operator, shapes, provider, ms });
  }
  return [...byName.values()];
}

/** Kernels with the same key added up, the most expensive first. */
export function sumBy(kernels: readonly Kernel[], keyOf: (kernel: Kernel) => string) {
  const sums = new Map<string, { key: string; count: number; ms: number }>();
  for (const kernel of kernels) {
    const key = keyOf(kernel);
    const sum = sums.get(key) ?? { key, count: 0, ms: 0 };
    sums.set(key, { key, count: sum.count + 1, ms: sum.ms + kernel.ms });
  }
  return [...sums.values()].sort((a, b) => b.ms - a.ms);
}
