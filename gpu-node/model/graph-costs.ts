/** @file What one run of a recorded graph costs: multiplications, and bytes that are held at once. */
import { Arena } from "./arena.js";

/** A node as far as its cost goes. */
export interface CostedNode {
  readonly name: string;
  readonly opType: string;
  /** Names of values; "" stands for an optional input left out. */
  readonly inputs: readonly string[];
  /** Bytes of its output. */
  readonly bytes: number;
  /** Multiplications with an addition each. */
  readonly multiplications: number;
  /** Whether the engine computes it once, at load. */
  readonly constant: boolean;
}

export interface GraphCosts {
  /** Multiplications of one run, each with its addition: half of the floating-point operations. */
  readonly multiplications: number;
  /**
   * The most bytes of inputs and results that are needed at one time, when every result is given
   * back after its last reader and nothing is computed in place. Weights come on top.
   */
  readonly activationBytes: number;
  /** Bytes that the engine's arena takes for one run on a processor and keeps afterwards. */
  readonly arenaBytes: number;
}

/** Operators that write over an input which nobody reads after them. */
const IN_PLACE: ReadonlySet<string> = new Set(["Add", "Sub", "Mul", "Sigmoid", "Gelu"]);

/** Operators whose result is their first input under another shape: no bytes of its own. */
const VIEWS: ReadonlySet<string> = new Set(["Reshape", "Squeeze", "Unsqueeze"]);

/**
 * @param inputs bytes of each input of the graph, by name; held for the whole run
 * @param nodes in topological order
 * @param outputs names of values that are held to the end
 */
export function costsOf(
  inputs: ReadonlyMap<string, number>,
  nodes: readonly CostedNode[],
  outputs: readonly string[],
): GraphCosts {
  const run = nodes.filter(({ constant }) => !constant);
  const life = lifetimesOf(run, [...inputs.keys()], outputs);
  return {
    multiplications: sum(run.map(({ multiplications }) => multiplications)),
    activationBytes: activationBytesOf(inputs, run, life),
    arenaBytes: arenaBytesOf(run, life),
  };
}

/** How long each value is needed. */
interface Lifetimes {
  /** The value whose bytes a view shows; of any other value itself. */
  readonly ownerOf: (name: string) => string;
  /** Whether the node at this place is the last reader of a value that is not held to the end. */
  readonly endsAt: (name: string, node: number) => boolean;
}

function lifetimesOf(
  nodes: readonly CostedNode[],
  inputs: readonly string[],
  outputs: readonly string[],
): Lifetimes {
  const owners = ownersOf(nodes);
  const ownerOf = (name: string) => owners.get(name) ?? name;
  const lastReader = new Map<string, number>();
  for (const [i, node] of nodes.entries()) {
    for (const input of node.inputs) lastReader.set(ownerOf(input), i);
  }
  const kept = new Set([...inputs, ...outputs.map(ownerOf)]);
  return { ownerOf, endsAt: (name, node) => lastReader.get(name) === node && !kept.has(name) };
}

function activationBytesOf(
  inputs: ReadonlyMap<string, number>,
  nodes: readonly CostedNode[],
  { ownerOf, endsAt }: Lifetimes,
): number {
  const held = new Map(inputs);
  let heldBytes = sum(inputs.values());
  let peak = heldBytes;
  for (const [i, { name, bytes, inputs: read }] of nodes.entries()) {
    if (ownerOf(name) === name) {
      held.set(name, bytes);
      heldBytes += bytes;
      peak = Math.max(peak, heldBytes);
    }
    for (const input of new Set(read.map(ownerOf))) {
      if (!endsAt(input, i)) continue;
      heldBytes -= held.get(input) ?? 0;
      held.delete(input);
    }
  }
  return peak;
}

/**
 * Replays the allocations of one run, with what the engine adds and saves: a convolution works on
 * copies in a layout of its own, and simple arithmetic writes over what nobody reads any more.
 */
function arenaBytesOf(nodes: readonly CostedNode[], life: Lifetimes): number {
  const arena = new Arena();
  const bytesOf = new Map(nodes.map(({ name, bytes }) => [name, bytes]));
  /** The allocation that a result lies in: that of the value it was written over, or its own. */
  const placeOf = new Map<string, string>();
  for (const [i, { name, opType, bytes, inputs }] of nodes.entries()) {
    if (life.ownerOf(name) !== name) continue;
    const ended = [...new Set(inputs.map(life.ownerOf))].filter(
      (input) => life.endsAt(input, i) && placeOf.has(input),
    );
    const over = IN_PLACE.has(opType)
      ? ended.find((input) => bytesOf.get(input) === bytes)
      : undefined;
    if (over !== undefined) {
      placeOf.set(name, placeOf.get(over)!);
    } else if (opType === "Conv") {
      arena.allocate("input in blocks", bytesOf.get(life.ownerOf(inputs[0]!)) ?? 0);
      arena.allocate("result in blocks", bytes);
      arena.free("input in blocks");
      arena.allocate(name, bytes);
      arena.free("result in blocks");
      placeOf.set(name, name);
    } else {
      arena.allocate(name, bytes);
      placeOf.set(name, name);
    }
    for (const input of ended) if (input !== over) arena.free(placeOf.get(input)!);
  }
  return arena.touchedBytes;
}

/** For every view the value whose bytes it shows. */
function ownersOf(nodes: readonly CostedNode[]): ReadonlyMap<string, string> {
  const owners = new Map<string, string>();
  for (const { name, opType, inputs } of nodes) {
    const source = inputs[0];
    if (!VIEWS.has(opType) || source === undefined) continue;
    owners.set(name, owners.get(source) ?? source);
  }
  return owners;
}

function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
