import { describe, expect, test } from "vitest";
import { JOURNAL_START, type JournalHead } from "../../ports/journal.js";
import { type BatchPiece, BatchReader, encodeBatch } from "./jetstream-batch.js";
import { headers } from "./nats-client.js";

const RECORDS = ['{"a":1}', "", "\u00e9\u{1f3a5}", "x".repeat(100)];

function read(pieces: readonly BatchPiece[], reader = new BatchReader("S")): string[] {
  return pieces.flatMap((piece, i) =>
    reader.push({ seq: i + 1, ...piece }).map(({ record }) => record),
  );
}

/** Batches of these records, one after the other, in pieces of 40 bytes. */
function batches(...appends: readonly string[][]): BatchPiece[][] {
  let head: JournalHead = JOURNAL_START;
  return appends.map((records) => {
    const encoded = encodeBatch(head, records, 40);
    head = encoded.head;
    return [...encoded.pieces];
  });
}

test.each([1, 7, 40, 1_000])("records come back out of pieces of %i bytes", (pieceBytes) => {
  const { pieces, head } = encodeBatch(JOURNAL_START, RECORDS, pieceBytes);
  const reader = new BatchReader("S");
  expect(read(pieces, reader)).toEqual(RECORDS);
  expect(reader.head).toEqual(head);
  expect(reader.hasUnfinished).toBe(false);
});

test("equal records in another place have other ids", () => {
  const [first, second] = batches(["a"], ["a"]);
  expect(first![0]!.id).not.toBe(second![0]!.id);
});

test("an unfinished batch gives nothing, and the next one takes its place", () => {
  const [whole, unfinished] = batches(["a"], ["b".repeat(100)]);
  const [, next] = batches(["a"], ["c"]);
  const reader = new BatchReader("S");
  expect(read([...whole!, unfinished![0]!], reader)).toEqual(["a"]);
  expect(reader.hasUnfinished).toBe(true);
  expect(read(next!, reader)).toEqual(["c"]);
});

describe("damage is named", () => {
  const [a, b, c] = batches(["a"], ["b"], ["c".repeat(100)]);
  const flipped = { ...b![0]!, data: Buffer.from("B") };
  const bare = { ...b![0]!, headers: headers() };
  const [, other] = batches(["z"], ["b"]);
  test.each<[string, BatchPiece[], RegExp]>([
    ["missing", [...a!, ...c!], /message 4 .* follows record 2 where 1 is the last: .* missing/],
    ["doubled", [...a!, ...b!, ...b!], /message 3 .* it is doubled/],
    ["changed", [...a!, flipped], /message 2 .* its records are not what was written/],
    ["of another journal", [...a!, ...other!], /message 2 .* it is of another journal/],
    ["without its header", [...a!, bare], /message 2 .* it is not a piece of a batch/],
    ["in part", [...a!, ...b!, ...c!.slice(1)], /message 3 .* the pieces before it are missing/],
  ])("a batch that is %s", (_name, pieces, message) => {
    expect(() => read(pieces)).toThrow(message);
  });
});
