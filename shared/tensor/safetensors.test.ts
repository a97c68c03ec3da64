import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FarmError } from "../core/errors.js";
import {
  decodeSafetensorsHeader,
  decodeTensors,
  encodeSafetensors,
  encodeSafetensorsFile,
  encodeSafetensorsHeader,
  type SafetensorsTensor,
  toSafetensorsTensor,
} from "./safetensors.js";

/** A file of any header text and any data, with a right length field unless told otherwise. */
function fileOf(header: string | Uint8Array, dataBytes = 0, headerLength?: bigint): Uint8Array {
  const text = typeof header === "string" ? new TextEncoder().encode(header) : header;
  const file = new Uint8Array(8 + text.length + dataBytes);
  new DataView(file.buffer).setBigUint64(0, headerLength ?? BigInt(text.length), true);
  file.set(text, 8);
  return file;
}

const headerOf = (file: Uint8Array) => decodeSafetensorsHeader(file, file.length, "x.safetensors");
const f32 = (...values: number[]): SafetensorsTensor =>
  toSafetensorsTensor({ shape: [values.length], data: new Float32Array(values) });

/** The header text of one tensor "w". */
const one = (dtype: string, shape: string, offsets: string) =>
  `{"w":{"dtype":${dtype},"shape":${shape},"data_offsets":${offsets}}}`;
/** The header text of two float32 tensors "a" and "b". */
const two = (a: string, b: string) =>
  `{"a":{"dtype":"F32","shape":[2],"data_offsets":${a}},"b":{"dtype":"F32","shape":[2],"data_offsets":${b}}}`;

const refused: [name: string, file: Uint8Array, message: RegExp][] = [
  ["an empty file", new Uint8Array(0), /0 bytes are too few/],
  ["a file that ends in the length field", new Uint8Array(7), /too few/],
  ["a header of 2^63 bytes", fileOf("{}", 0, 2n ** 63n), /header length 9223372036854775808/],
  ["a header of 100,000,001 bytes", fileOf("{}", 0, 100_000_001n), /above 100000000/],
  ["a header that ends behind the file", fileOf("{}", 0, 3n), /ends at byte 11, the file at 10/],
  ["a header that is not UTF-8", fileOf(Uint8Array.of(0x7b, 0xff, 0x7d)), /not valid JSON/],
  ["a byte order mark", fileOf("\ufeff{}"), /does not begin with \{/],
  ["a header that is not JSON", fileOf("{w}"), /not valid JSON/],
  ["a header that is a list", fileOf("[]"), /does not begin with \{/],
  ["a header 100,000 levels deep", fileOf('{"a":'.repeat(100_000)), /nested deeper/],
  ["a name twice", fileOf(one('"U8"', "[0]", "[0,0]").replace("}}", '},"w":1}')), /"w" twice/],
  ["a prototype key", fileOf('{"__proto__":{}}'), /__proto__/],
  ["metadata that is not text", fileOf('{"__metadata__":{"a":1}}'), /__metadata__ must map/],
  ["metadata that is a list", fileOf('{"__metadata__":[]}'), /__metadata__ must map/],
  ["a tensor that is a number", fileOf('{"w":1}'), /tensor "w": not an object/],
  ["a tensor that is null", fileOf('{"w":null}'), /tensor "w": not an object/],
  ["a tensor without fields", fileOf('{"w":{}}'), /tensor "w": dtype missing/],
  ["an unknown field", fileOf('{"w":{"strides":[1]}}'), /tensor "w": unknown field "strides"/],
  ["an unknown dtype", fileOf(one('"F31"', "[0]", "[0,0]")), /tensor "w": dtype "F31"/],
  ["a dtype every object has", fileOf(one('"toString"', "[0]", "[0,0]")), /dtype "toString"/],
  ["a negative extent", fileOf(one('"F32"', "[-1]", "[0,4]"), 4), /tensor "w": shape \[-1\]/],
  ["a broken extent", fileOf(one('"F32"', "[1.5]", "[0,6]"), 6), /tensor "w": shape \[1.5\]/],
  ["an extent of 2^53", fileOf(one('"U8"', "[9007199254740992]", "[0,0]")), /tensor "w": shape/],
  ["an extent that is text", fileOf(one('"U8"', '["1"]', "[0,1]"), 1), /tensor "w": shape/],
  ["too many axes", fileOf(one('"U8"', `[${Array(65).fill(1)}]`, "[0,1]"), 1), /at most 64/],
  [
    "a product that overflows",
    fileOf(one('"F32"', "[4294967296,4294967296]", "[0,0]")),
    /overflows/,
  ],
  [
    "an overflow before a 0",
    fileOf(one('"F32"', "[4294967296,4294967296,0]", "[0,0]")),
    /overflows/,
  ],
  ["one offset", fileOf(one('"F32"', "[1]", "[0]"), 4), /data_offsets \[0\]/],
  ["a negative offset", fileOf(one('"F32"', "[1]", "[-4,0]"), 4), /data_offsets \[-4,0\]/],
  ["offsets that run back", fileOf(one('"F32"', "[1]", "[4,0]"), 4), /hold -4/],
  ["too few bytes for the shape", fileOf(one('"F32"', "[2]", "[0,4]"), 4), /takes 8 bytes.*hold 4/],
  [
    "offsets behind the end",
    fileOf(one('"F32"', "[2]", "[0,8]"), 7),
    /"w": ends at byte .*truncated/,
  ],
  ["two tensors that overlap", fileOf(two("[0,8]", "[4,12]"), 12), /"b": .*inside tensor "a"/],
  ["two tensors in one place", fileOf(two("[0,8]", "[0,8]"), 8), /inside tensor/],
  [
    "a hole before the first tensor",
    fileOf(two("[4,12]", "[12,20]"), 20),
    /"a": .*a hole after the header/,
  ],
  ["a hole between tensors", fileOf(two("[0,8]", "[9,17]"), 17), /"b": .*a hole after tensor "a"/],
  [
    "bytes that belong to no tensor",
    fileOf(two("[0,8]", "[8,16]"), 17),
    /1 bytes after tensor "b"/,
  ],
  ["data without tensors", fileOf("{}", 1), /1 bytes after the header/],
];

test.each(refused)("%s is refused, naming the file", (_name, file, message) => {
  const error = thrownBy(() => headerOf(file));
  expect(error.code).toBe("checkpoint-invalid");
  expect(error.message).toMatch(message);
  expect(error.message).toContain("x.safetensors");
  expect(error.violations.length).toBeGreaterThan(0);
});

test("every wrong tensor is named in one error", () => {
  const file = fileOf('{"a":{"dtype":"F31"},"b":{"dtype":"F32","shape":[-1]},"c":7}');
  expect(thrownBy(() => headerOf(file)).violations.map((v) => v.description)).toEqual([
    expect.stringMatching(/"a".*F31/),
    expect.stringMatching(/"b".*\[-1\]/),
    expect.stringMatching(/"c".*not an object/),
  ]);
});

test("a thousand wrong tensors make a message of bounded length", () => {
  const fields = Array.from({ length: 1000 }, (_, i) => `"${"n".repeat(500)}${i}":0`);
  expect(thrownBy(() => headerOf(fileOf(`{${fields}}`))).message.length).toBeLessThan(10_000);
});

test("a file whose header alone was read is checked against its real size", () => {
  const file = encodeSafetensorsFile([["w", f32(1, 2, 3)]]);
  const head = file.subarray(0, file.length - 12);
  expect(decodeSafetensorsHeader(head, file.length, "x").entries[0]?.end).toBe(file.length);
  expect(() => decodeSafetensorsHeader(head, file.length - 1, "x")).toThrow(/truncated/);
  expect(() => decodeSafetensorsHeader(head.subarray(0, 20), file.length, "x")).toThrow(/only 20/);
});

describe("encode and decode", () => {
  test("values, shapes, empty and scalar tensors, metadata and odd names survive", () => {
    const tensors: [string, SafetensorsTensor][] = [
      ["b", { dtype: "F32", shape: [1, 2], bytes: f32(1.5, -2).bytes }],
      ["scalar", { dtype: "F32", shape: [], bytes: f32(7).bytes }],
      ["empty", { dtype: "F16", shape: [3, 0], bytes: new Uint8Array(0) }],
      ['a "quoted" Ü', { dtype: "F16", shape: [2], bytes: Uint8Array.of(0, 0x3c, 0, 0xc0) }],
      ["constructor", { dtype: "BF16", shape: [1], bytes: Uint8Array.of(0x80, 0x3f) }],
    ];
    const file = encodeSafetensorsFile(tensors, { made_by: "a test" });
    expect(headerOf(file).metadata).toEqual(new Map([["made_by", "a test"]]));

    const decoded = decodeTensors(file);
    expect(decoded.size).toBe(5);
    expect(decoded.get("b")).toEqual({ shape: [1, 2], data: new Float32Array([1.5, -2]) });
    expect(decoded.get("scalar")).toEqual({ shape: [], data: new Float32Array([7]) });
    expect(decoded.get("empty")).toEqual({ shape: [3, 0], data: new Float32Array(0) });
    expect(decoded.get('a "quoted" Ü')).toEqual({ shape: [2], data: new Float32Array([1, -2]) });
    expect(decoded.get("constructor")).toEqual({ shape: [1], data: new Float32Array([1]) });
  });

  test("every tensor is aligned to its type, and the order of the input does not matter", () => {
    const tensors: [string, SafetensorsTensor][] = [
      ["half", { dtype: "F16", shape: [1], bytes: new Uint8Array(2) }],
      ["byte", { dtype: "U8", shape: [3], bytes: new Uint8Array(3) }],
      ["long", { dtype: "I64", shape: [1], bytes: new Uint8Array(8) }],
      ["single", { dtype: "F32", shape: [1], bytes: new Uint8Array(4) }],
    ];
    const { entries, dataBegin } = headerOf(encodeSafetensorsFile(tensors));
    expect(entries.map((e) => e.name)).toEqual(["long", "single", "half", "byte"]);
    expect(dataBegin % 8).toBe(0);
    expect(encodeSafetensorsFile(tensors.toReversed())).toEqual(encodeSafetensorsFile(tensors));
  });

  test("a big file can be written in pieces: header first, then the parts, copying nothing", () => {
    const tensors: [string, SafetensorsTensor][] = [
      ["frames", f32(1, 2)],
      ["latents", f32(3)],
    ];
    const { header, parts, byteLength } = encodeSafetensors(tensors);
    expect(parts).toEqual(tensors.map(([, t]) => t.bytes));
    expect(parts[0]).toBe(tensors[0]?.[1].bytes);
    expect(Buffer.concat([header, ...parts])).toEqual(Buffer.from(encodeSafetensorsFile(tensors)));
    expect(byteLength).toBe(header.length + 12);
    expect(encodeSafetensorsHeader(tensors).header).toEqual(header);
  });

  test("a Buffer at any offset of its memory decodes as well as an array of its own", () => {
    const file = encodeSafetensorsFile([["w", f32(1, -2)]]);
    const pooled = Buffer.concat([Buffer.alloc(3), file]).subarray(3);
    expect(decodeTensors(pooled).get("w")?.data).toEqual(new Float32Array([1, -2]));
  });

  test("a tensor that is no floating-point type is not widened but refused by name", () => {
    const file = encodeSafetensorsFile([
      ["ids", { dtype: "I64", shape: [1], bytes: new Uint8Array(8) }],
    ]);
    expect(() => decodeTensors(file, "latents.safetensors")).toThrow(/latents.*"ids": I64/);
  });

  test("what is written wrongly is a bug of the writer", () => {
    const { bytes } = f32(1);
    expect(() => encodeSafetensors([["w", { dtype: "F32", shape: [2], bytes }]])).toThrow(
      /bug: .*8 bytes/,
    );
    expect(() =>
      encodeSafetensors([
        ["w", f32(1)],
        ["w", f32(1)],
      ]),
    ).toThrow(/bug: .*once/);
  });
});

test("2,000 mutations of a valid file are read, or refused with a FarmError: nothing else", () => {
  const valid = encodeSafetensorsFile(
    [
      ["a", f32(1, 2, 3)],
      ["b", f32(4)],
      ["c", { dtype: "F16", shape: [2, 2], bytes: new Uint8Array(8) }],
    ],
    { k: "v" },
  );
  const position = fc.nat({ max: valid.length - 1 });
  const mutation = fc.oneof(
    fc.record({
      kind: fc.constant("set" as const),
      at: position,
      bytes: fc.uint8Array({ minLength: 1, maxLength: 4 }),
    }),
    fc.record({
      kind: fc.constant("cut" as const),
      at: position,
      bytes: fc.constant(new Uint8Array()),
    }),
    fc.record({
      kind: fc.constant("insert" as const),
      at: position,
      bytes: fc.uint8Array({ minLength: 1, maxLength: 16 }),
    }),
    fc.record({
      kind: fc.constant("insert" as const),
      at: fc.integer({ min: 8, max: valid.length - 20 }),
      bytes: fc
        .constantFrom("{", "[", '"', ",", "-", "9", "1e99", "null", '"a":')
        .map((s) => new TextEncoder().encode(s)),
    }),
  );
  let refusals = 0;
  fc.assert(
    fc.property(fc.array(mutation, { minLength: 1, maxLength: 4 }), (mutations) => {
      let file = valid;
      for (const { kind, at, bytes } of mutations) {
        const before = file.slice(0, Math.min(at, file.length));
        const rest =
          kind === "cut" ? [] : [...file.slice(at + (kind === "set" ? bytes.length : 0))];
        file = Uint8Array.from([...before, ...bytes, ...rest]);
      }
      try {
        for (const { shape, data } of decodeTensors(file).values()) {
          expect(data.length).toBe(shape.reduce((a, b) => a * b, 1));
        }
      } catch (error) {
        expect(error).toBeInstanceOf(FarmError);
        refusals++;
      }
    }),
    { seed: 7, numRuns: 2000 },
  );
  expect(refusals).toBeGreaterThan(500);
});

function thrownBy(action: () => unknown): FarmError {
  try {
    action();
  } catch (error) {
    if (error instanceof FarmError) return error;
    throw error;
  }
  return expect.fail("nothing was thrown");
}
