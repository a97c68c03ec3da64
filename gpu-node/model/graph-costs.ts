/** @file What one run of a recorded graph costs: multiplications, and bytes that are held at once. */

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
}

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
  const owners = ownersOf(run);
  const ownerOf = (name: string) => owners.get(name) ?? name;
  const lastReader = new Map<string, number>();
  for (const [i, node] of run.entries()) {
    for (const input of node.inputs) lastReader.set(ownerOf(input), i);
  }
  const kept = new Set([...inputs.keys(), ...outputs.map(ownerOf)]);

  const held = new Map(inputs);
  let heldBytes = sum(inputs.values());
  let peak = heldBytes;
  for (const [i, { name, bytes, inputs: read }] of run.entries()) {
    if (ownerOf(name) === name) {
      held.set(name, bytes);
      heldBytes += bytes;
      peak = Math.max(peak, heldBytes);
    }
    for (const input of new Set(read.map(ownerOf))) {
      if (lastReader.get(input) !== i || kept.has(input)) continue;
      heldBytes -= held.get(input) ?? 0;
      held.delete(input);
    }
  }
  return {
    multiplications: sum(run.map(({ multiplications }) => multiplications)),
    activationBytes: peak,
  };
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
