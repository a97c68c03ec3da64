import { describe, expect, test } from "vitest";
import { framesFromDecoder, framesToBytes, unscaleLatents } from "./frames.js";

describe("decoder output to pictures", () => {
  test("moves channels last, frame by frame", () => {
    const size = { frames: 2, height: 1, width: 2 };
    const decoded = Float32Array.from({ length: 12 }, (_, i) => i / 16 - 0.5);
    const at = (i: number) => (i / 16 - 0.5) / 2 + 0.5;
    const expected = [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11].map(at);
    expect([...framesFromDecoder(decoded, size)]).toEqual(expected);
  });

  test("holds values within 0..1 and keeps NaN for the caller to find", () => {
    const decoded = Float32Array.of(-1.5, 1.5, Number.NaN);
    const pictures = framesFromDecoder(decoded, { frames: 1, height: 1, width: 1 });
    expect([...pictures]).toEqual([0, 1, Number.NaN]);
  });

  test("refuses a buffer of another size as a bug", () => {
    const size = { frames: 2, height: 1, width: 1 };
    expect(() => framesFromDecoder(new Float32Array(3), size)).toThrow("bug: expected");
  });
});

describe("pictures to bytes", () => {
  test("every byte survives the way to 0..1 and back", () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
    expect(framesToBytes(Float32Array.from(bytes, (byte) => byte / 255))).toEqual(bytes);
  });

  test.each([
    [0.5 / 255, 0],
    [1.5 / 255, 2],
    [126.5 / 255, 126],
    [127.5 / 255, 128],
    [0.0099, 3],
    [1, 255],
  ])("%d rounds half to even: %d", (value, byte) => {
    expect([...framesToBytes(Float32Array.of(value))]).toEqual([byte]);
  });
});

test("latents are multiplied by the float32 reciprocal of the scaling factor", () => {
  // torch: 1 / 0.18215 * torch.tensor([1, -0.3, 2.7182817])
  const latents = Float32Array.of(1, -0.3, 2.7182817);
  const expected = [5.489980697631836, -1.6469942331314087, 14.923314094543457];
  expect([...unscaleLatents(latents, 0.18215)]).toEqual(expected);
});
