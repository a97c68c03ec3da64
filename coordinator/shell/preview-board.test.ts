import { expect, test } from "vitest";
import { PreviewBoard } from "./preview-board.js";

const image = new Uint8Array([1]);

test("a clip has one preview, the latest", () => {
  const board = new PreviewBoard();
  board.put("a", { clipIndex: 0, step: 3, image });
  board.put("a", { clipIndex: 1, step: 3, image });
  board.put("a", { clipIndex: 0, step: 6, image });
  board.put("b", { clipIndex: 0, step: 1, image });
  const seen = board.ofJob("a").map(({ clipIndex, step }) => [clipIndex, step]);
  expect(seen).toEqual([
    [1, 3],
    [0, 6],
  ]);
  board.forget("a");
  expect(board.ofJob("a")).toEqual([]);
  expect(board.ofJob("b")).toHaveLength(1);
});

test("no more than 64 clips have one; the longest unchanged goes first", () => {
  const board = new PreviewBoard();
  for (let clipIndex = 0; clipIndex < 64; clipIndex++) {
    board.put("a", { clipIndex, step: 1, image });
  }
  board.put("a", { clipIndex: 0, step: 2, image });
  board.put("a", { clipIndex: 64, step: 1, image });
  const clips = board.ofJob("a").map(({ clipIndex }) => clipIndex);
  expect(clips).toHaveLength(64);
  expect(clips).not.toContain(1);
  expect(clips).toContain(0);
});
