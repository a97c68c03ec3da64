/** A file over a connection that breaks: every byte once, whatever happens on the way. */
import { expect, test } from "vitest";
import { FarmError, type FarmErrorCode } from "../shared/core/errors.js";
import { resumedPieces } from "./resumed-pieces.js";

const FILE = Buffer.from("the bytes of a file");

/** A farm that sends so many bytes a call and then fails with that code; the last call is whole. */
function breaking(calls: readonly (readonly [bytes: number, code: FarmErrorCode])[]) {
  const asked: bigint[] = [];
  const open = async function* (offset: bigint) {
    const failure = calls[asked.length];
    asked.push(offset);
    const rest = FILE.subarray(Number(offset));
    if (!failure) yield { piece: rest };
    else {
      if (failure[0] > 0) yield { piece: rest.subarray(0, failure[0]) };
      throw new FarmError(failure[1], "broken");
    }
  };
  const read = async () => {
    const pieces: Uint8Array[] = [];
    for await (const piece of resumedPieces(open)) pieces.push(piece);
    return Buffer.concat(pieces);
  };
  return { asked, read };
}

test("what is missing is asked for from where it broke off", async () => {
  const { asked, read } = breaking([
    [4, "unreachable"],
    [5, "deadline"],
  ]);
  expect(await read()).toEqual(FILE);
  expect(asked).toEqual([0n, 4n, 9n]);
});

test.each<[string, number, FarmErrorCode]>([
  ["a file that is not there", 0, "not-found"],
  ["bytes that are not the file's", 4, "blob-corrupt"],
  ["a call that brought nothing in its time", 0, "deadline"],
])("%s is told at once", async (_case, bytes, code) => {
  const { asked, read } = breaking([[bytes, code]]);
  await expect(read()).rejects.toMatchObject({ code });
  expect(asked).toEqual([0n]);
});

test("an abort ends the pause before the next try", async () => {
  const controller = new AbortController();
  const open = async function* (): AsyncGenerator<{ piece: Uint8Array }> {
    yield { piece: FILE };
    controller.abort();
    throw new FarmError("unreachable", "broken");
  };
  const read = async () => {
    for await (const _piece of resumedPieces(open, controller.signal));
  };
  await expect(read()).rejects.toMatchObject({ code: "cancelled" });
});
