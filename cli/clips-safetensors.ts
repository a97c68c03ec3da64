/** @file The safetensors files of single clips joined into one, without holding any of them. */
import { createReadStream, createWriteStream } from "node:fs";
import { open } from "node:fs/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { assert } from "../shared/core/assert.js";
import {
  decodeSafetensorsHeader,
  encodeSafetensorsHeader,
  SAFETENSORS_PREFIX_BYTES,
  safetensorsHeaderEnd,
} from "../shared/tensor/safetensors.js";
import type { SafetensorsEntry } from "../shared/tensor/safetensors-entry.js";

interface ClipFile {
  readonly path: string;
  readonly entries: ReadonlyMap<string, SafetensorsEntry>;
}

/**
 * Writes one file in which every tensor has the clips as its first axis: "frames" float32
 * [clips, frames, height, width, 3] and "latents" float32 [clips, frames, C, h, w].
 *
 * @param clipPaths one file a clip, in order, all with the same tensors
 * @param path      does not exist yet
 */
export async function joinClips(clipPaths: readonly string[], path: string): Promise<void> {
  const clips = await Promise.all(clipPaths.map(readClipFile));
  const first = clips[0];
  assert(first, "at least one clip");
  const { header, entries } = encodeSafetensorsHeader(
    [...first.entries.values()].map(({ name, dtype, shape }) => [
      name,
      { dtype, shape: [clips.length, ...shape] },
    ]),
  );
  await pipeline(
    Readable.from(joined(header, entries, clips), { objectMode: false }),
    createWriteStream(path, { flags: "wx" }),
  );
}

async function* joined(
  header: Uint8Array,
  entries: readonly SafetensorsEntry[],
  clips: readonly ClipFile[],
): AsyncGenerator<Uint8Array> {
  yield header;
  for (const { name, shape } of entries) {
    for (const clip of clips) {
      const entry = clip.entries.get(name);
      assert(entry?.shape.join() === shape.slice(1).join(), `equal shapes of ${name} in all clips`);
      yield* createReadStream(clip.path, { start: entry.begin, end: entry.end - 1 });
    }
  }
}

async function readClipFile(path: string): Promise<ClipFile> {
  const file = await open(path, "r");
  try {
    const { size } = await file.stat();
    const prefix = Buffer.alloc(SAFETENSORS_PREFIX_BYTES);
    await file.read(prefix, 0, prefix.length, 0);
    const head = Buffer.alloc(safetensorsHeaderEnd(prefix, size, path));
    await file.read(head, 0, head.length, 0);
    const { entries } = decodeSafetensorsHeader(head, size, path);
    return { path, entries: new Map(entries.map((entry) => [entry.name, entry])) };
  } finally {
    await file.close();
  }
}
