/**
 * @file Hands the parameters of a checkpoint to the graph: each one once, each one checked.
 *
 * A parameter that is missing, has another shape, or is left over at the end means that checkpoint
 * and configuration do not belong together; `finish` names all of them at once.
 */
import { assert } from "../../shared/core/assert.js";
import type { Violation } from "../../shared/core/errors.js";
import { elementCount } from "../../shared/tensor/tensor.js";
import { refuseCheckpoint } from "./checkpoint-problems.js";
import type { ElementType, FileRange } from "./graph.js";
import { type GraphBuilder, showShape, type Value } from "./graph-builder.js";
import { cast, toComputeType } from "./ops-math.js";
import { sameShape } from "./ops-shape.js";
import { ImpliedWeights, type WeightDtype, type WeightEntry, type WeightIndex } from "./weights.js";

/** What all scopes of one component share. */
interface Ledger {
  readonly graph: GraphBuilder;
  readonly component: string;
  readonly index: WeightIndex;
  readonly taken: Set<string>;
  readonly problems: Violation[];
}

/** A place in the checkpoint's tree of modules, e.g. `mid_block.resnets.0`. */
export class Weights {
  /** The checkpoint's path of this module; "" at the root. */
  readonly path: string;
  readonly #ledger: Ledger;

  private constructor(ledger: Ledger, path: string) {
    this.#ledger = ledger;
    this.path = path;
  }

  /**
   * @param component "unet", "vae", "image_encoder": leads every message
   * @param index every parameter that this graph must use up
   */
  static root(graph: GraphBuilder, component: string, index: WeightIndex): Weights {
    const ledger: Ledger = { graph, component, index, taken: new Set(), problems: [] };
    return new Weights(ledger, "");
  }

  /** The graph that the parameters go to. */
  get graph(): GraphBuilder {
    return this.#ledger.graph;
  }

  /** The scope of a child module: `w.at("resnets", 0)`. */
  at(...names: readonly (string | number)[]): Weights {
    return new Weights(this.#ledger, this.#nameOf(names.join(".")));
  }

  /**
   * A parameter of this module in the type that the graph computes in; one that is stored in another
   * is brought to it once, at load.
   *
   * @param shape as the checkpoint stores it
   * @param as the shape to read the same values with, where the graph wants another
   */
  take(name: string, shape: readonly number[], as: readonly number[] = shape): Value {
    return toComputeType(this.#value(this.#enter(name, shape), this.#nameOf(name), as, 0));
  }

  /** The same in float32, for what is computed in it everywhere. */
  takeWide(name: string, shape: readonly number[]): Value {
    return cast(
      toComputeType(this.#value(this.#enter(name, shape), this.#nameOf(name), shape, 0)),
      "float32",
    );
  }

  /**
   * A parameter in `parts` equal parts along its first axis, each one a byte range of its own.
   *
   * @param shape as the checkpoint stores it; its first extent is a multiple of `parts`
   */
  takeParts(name: string, shape: readonly number[], parts: number): Value[] {
    const [rows, ...rest] = shape;
    assert(rows !== undefined && rows % parts === 0, `${rows} rows in ${parts} parts`);
    const entry = this.#enter(name, shape);
    const partShape = [rows / parts, ...rest];
    return Array.from({ length: parts }, (_, part) =>
      toComputeType(this.#value(entry, `${this.#nameOf(name)}[${part}/${parts}]`, partShape, part)),
    );
  }

  /**
   * Accounts for a parameter that the result does not depend on.
   *
   * @param reason why not, for the reader of the code
   */
  skip(name: string, shape: readonly number[], reason: string): void {
    assert(reason.length > 0, "a reason to skip a parameter");
    this.#enter(name, shape);
  }

  /** Accounts for something that some versions of the checkpoint carry and nothing reads. */
  skipIfPresent(name: string, reason: string): void {
    assert(reason.length > 0, "a reason to skip a parameter");
    const full = this.#nameOf(name);
    if (this.#ledger.index.has(full)) this.#ledger.taken.add(full);
  }

  /**
   * Closes the account.
   *
   * @returns the number of values in all parameters
   * @throws FarmError "checkpoint-invalid" that names every missing, misshapen and unused parameter
   */
  finish(): number {
    const { index, taken, problems } = this.#ledger;
    for (const name of index.keys()) {
      if (!taken.has(name))
        this.#report(name, "is not part of the model that config.json describes");
    }
    refuseCheckpoint(problems);
    return [...index.values()].reduce((sum, entry) => sum + elementCount(entry.shape), 0);
  }

  #report(name: string, description: string): void {
    this.#ledger.problems.push({ field: `${this.#ledger.component}: ${name}`, description });
  }

  #nameOf(name: string): string {
    return this.path === "" ? name : `${this.path}.${name}`;
  }

  /** Marks a parameter as used; a stand-in where it is missing or misshapen, so that all are found. */
  #enter(name: string, shape: readonly number[]): WeightEntry {
    const { index, taken } = this.#ledger;
    const full = this.#nameOf(name);
    assert(!taken.has(full), `each parameter to be taken once, not ${full} again`);
    taken.add(full);
    const entry = index instanceof ImpliedWeights ? index.imply(full, shape) : index.get(full);
    if (entry !== undefined && sameShape(entry.shape, shape)) return entry;
    const expected = `config.json makes it ${showShape(shape)}`;
    this.#report(
      full,
      entry === undefined
        ? `is missing; ${expected}`
        : `has the shape ${showShape(entry.shape)}; ${expected}`,
    );
    return {
      name: full,
      dtype: "F32",
      shape,
      file: "",
      offset: 0,
      byteLength: 4 * elementCount(shape),
    };
  }

  #value(entry: WeightEntry, name: string, shape: readonly number[], part: number): Value {
    const elementType = ELEMENT_TYPE[entry.dtype];
    const byteLength = elementCount(shape) * BYTES_PER_VALUE[entry.dtype];
    assert((part + 1) * byteLength <= entry.byteLength, `${name} to lie inside ${entry.name}`);
    const range: FileRange = {
      file: entry.file,
      offset: entry.offset + part * byteLength,
      byteLength,
    };
    return this.graph.parameter(name, elementType, shape, range, this.path);
  }
}

const ELEMENT_TYPE = {
  F32: "float32",
  F16: "float16",
  BF16: "bfloat16",
} as const satisfies Record<WeightDtype, ElementType>;

const BYTES_PER_VALUE = { F32: 4, F16: 2, BF16: 2 } as const satisfies Record<WeightDtype, number>;

/** The entries of an index whose names the predicate keeps: the part that one graph must use up. */
export function partOfIndex(index: WeightIndex, keep: (name: string) => boolean): WeightIndex {
  if (index instanceof ImpliedWeights) return index; // nothing is left over in it
  return new Map([...index].filter(([name]) => keep(name)));
}
