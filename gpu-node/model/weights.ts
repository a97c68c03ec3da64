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
