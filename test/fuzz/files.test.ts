/** Files and frames from anybody: taken as what they say they are, or refused with a code. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { decodePicture } from "../../gpu-node/stages/picture.js";
import {
  encodeFrameHead,
  encodeGreeting,
  FrameReader,
  GreetingReader,
} from "../../shared/adapters/socket/frame-codec.js";
import { FarmError } from "../../shared/core/errors.js";
import { parseStrictJson } from "../../shared/core/strict-json.js";
import type { FrameHeader } from "../../shared/ports/tensor-bus.js";
import { decodeTensors, encodeSafetensorsFile } from "../../shared/tensor/safetensors.js";
import { elementCount } from "../../shared/tensor/tensor.js";
import { damaged, FUZZ_MS_MAX, inTime, tries } from "./inputs.js";

const golden = fileURLToPath(new URL("../golden/data/", import.meta.url));
const hash = "a".repeat(64);

const header: FrameHeader = {
  ...{ jobId: "j", clipId: "j-0", epoch: 1, attempt: 1, step: 3, half: "cond", dtype: "F32" },
  ...{ shape: [1, 2, 2], sha256: hash, planHash: hash, latentsDigest: hash },
};
const frame = Buffer.concat([encodeFrameHead(header, 16), Buffer.alloc(16, 1)]);

test(
  "frames and greetings in any pieces: an event for each, never a throw",
  async () => {
    const sound = [
      frame,
      Buffer.concat([frame, frame]),
      encodeGreeting({ token: "t", channelId: "c" }),
    ];
    const check = (bytes: Uint8Array, cuts: readonly number[]) => {
      const frames = new FrameReader();
      const greeting = new GreetingReader();
      let at = 0;
      for (const cut of [...cuts, bytes.length]) {
        const piece = bytes.subarray(at, at + cut);
        at += piece.length;
        for (const event of frames.push(piece)) {
          if (event.kind !== "frame") continue;
          // Whatever passes has the size that its own header says.
          expect(event.payload.length).toBe(4 * elementCount(event.header.shape));
        }
        greeting.push(piece);
      }
    };
    const input = fc.oneof(damaged(sound), fc.uint8Array({ maxLength: 200 }));
    const cuts = fc.array(fc.nat(60), { maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(input, cuts, (...parts) => inTime(() => check(...parts))),
      tries(4_000),
    );
  },
  FUZZ_MS_MAX,
);

test(
  "safetensors files: tensors of the shapes they say, or checkpoint-invalid",
  async () => {
    const bytes = (length: number) => new Uint8Array(length);
    const sound = [
      encodeSafetensorsFile([["a", { dtype: "F32", shape: [2, 3], bytes: bytes(24) }]]),
      encodeSafetensorsFile([
        ["weight", { dtype: "F16", shape: [4], bytes: bytes(8) }],
        ["bias", { dtype: "BF16", shape: [2, 1], bytes: bytes(4) }],
      ]),
    ];
    const check = (file: Uint8Array) => {
      try {
        for (const [, { shape, data }] of decodeTensors(file)) {
          expect(data.length).toBe(elementCount(shape));
        }
      } catch (error) {
        if (!(error instanceof FarmError)) throw error;
        expect(error.code).toBe("checkpoint-invalid");
      }
    };
    await fc.assert(
      fc.asyncProperty(fc.oneof(damaged(sound), headed()), (file) => inTime(() => check(file))),
      tries(3_000),
    );
  },
  FUZZ_MS_MAX,
);

/** A file whose header is some JSON, of a length that may be a lie. */
function headed(): fc.Arbitrary<Uint8Array> {
  const offsets = fc.array(fc.oneof(fc.integer(), fc.maxSafeInteger(), fc.double()), {
    maxLength: 3,
  });
  const entry = fc.record(
    {
      dtype: fc.constantFrom("F32", "F16", "I8", "F4", "", "__proto__"),
      shape: offsets,
      data_offsets: offsets,
    },
    { requiredKeys: [] },
  );
  const lie = fc.oneof(fc.constant(0), fc.integer({ min: -20, max: 20 }), fc.maxSafeInteger());
  return fc
    .tuple(
      fc.dictionary(fc.string({ maxLength: 8 }), fc.oneof(entry, fc.jsonValue())),
      lie,
      fc.nat(64),
    )
    .map(([root, off, dataBytes]) => {
      const json = Buffer.from(JSON.stringify(root));
      const length = Buffer.alloc(8);
      length.writeBigUInt64LE(BigInt.asUintN(64, BigInt(json.length) + BigInt(off)));
      return Buffer.concat([length, json, Buffer.alloc(dataBytes)]);
    });
}

test(
  "JSON: the value that JSON.parse gives, or a SyntaxError; no prototype is touched",
  async () => {
    const check = (text: string) => {
      try {
        expect(parseStrictJson(text, { depthMax: 40 })).toEqual(JSON.parse(text));
      } catch (error) {
        expect(error).toBeInstanceOf(SyntaxError);
      }
      expect(Object.keys(Object.prototype)).toEqual([]);
    };
    const deep = fc.nat(100_000).map((depth) => "[".repeat(depth) + "]".repeat(depth));
    const keys = fc.constantFrom('{"__proto__":{"x":1}}', '{"a":1,"a":2}', '{"\\u0061":1,"a":2}');
    const bytes = damaged([Buffer.from('{"a":[1,2.5e3,"x\\u00e9",null],"b":{"c":true}}')]);
    const texts = fc.oneof(
      ...[fc.json(), fc.string(), keys],
      bytes.map((file) => Buffer.from(file).toString("utf8")),
      { arbitrary: deep, weight: 1 },
    );
    await fc.assert(
      fc.asyncProperty(texts, (text) => inTime(() => check(text))),
      tries(2_000),
    );
  },
  FUZZ_MS_MAX,
);

test(
  "pictures: pixels of the size they say, or invalid-argument",
  async () => {
    const folder = join(golden, "decoded-pictures");
    const names = readdirSync(folder).filter((name) => /\.(png|jpg|webp)$/.test(name));
    const sound = names.map((name) => readFileSync(join(folder, name)));
    const check = async (file: Uint8Array) => {
      try {
        const { width, height, data } = await decodePicture(file);
        expect(data.length).toBe(width * height * 3);
      } catch (error) {
        if (!(error instanceof FarmError)) throw error;
        expect(error.code).toBe("invalid-argument");
      }
    };
    await fc.assert(
      fc.asyncProperty(damaged(sound), (file) => inTime(() => check(file))),
      tries(1_000),
    );
  },
  FUZZ_MS_MAX,
);
