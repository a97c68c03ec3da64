/** @file Where each parameter of a component lies in the checkpoint's own files. */

/** Types in which a checkpoint stores parameters. */
export type WeightDtype = "F32" | "F16" | "BF16";

/** The bytes of one parameter. */
export interface WeightEntry {
  /** The checkpoint's name, e.g. "down_blocks.0.resnets.0.spatial_res_block.conv1.weight". */
  readonly name: string;
  readonly dtype: WeightDtype;
  /** Row-major extents, outermost first, as PyTorch stores them; [] for a scalar. */
  readonly shape: readonly number[];
  /** File name inside the component's real folder. */
  readonly file: string;
  /** Where the bytes begin, counted from the beginning of the file; any alignment. */
  readonly offset: number;
  /** Product of `shape` × bytes per value. */
  readonly byteLength: number;
}

/** Every parameter of a component by its name. */
export type WeightIndex = ReadonlyMap<string, WeightEntry>;

/**
 * Whatever is asked for, in the shape in which it is asked for: the parameters that a config alone
 * implies. They lie in no file, so a graph of them can be looked at and not run.
 */
export class ImpliedWeights extends Map<string, WeightEntry> implements WeightIndex {
  readonly #dtype: WeightDtype;

  /** @param dtype in which they would be stored */
  constructor(dtype: WeightDtype) {
    super();
    this.#dtype = dtype;
  }

  /** The parameter, which is there from now on. */
  imply(name: string, shape: readonly number[]): WeightEntry {
    const count = shape.reduce((product, extent) => product * extent, 1);
    const byteLength = (this.#dtype === "F32" ? 4 : 2) * count;
    const entry = { name, shape, byteLength, dtype: this.#dtype, file: "", offset: 0 };
    this.set(name, entry);
    return entry;
  }
}
