import { expect, test } from "vitest";
import { type Tensor, tensor } from "../../shared/tensor/tensor.js";
import { fitColourMap } from "./colour-map.js";

const FACTOR = 0.18215;

/** Latents [4, 6, 8] without a pattern, and the picture [3, 12, 16] that a linear map makes of them. */
function pictureOf(map: readonly number[][], spread: number): { latents: Tensor; image: Tensor } {
  const cells = 48;
  const latents = tensor(
    [4, 6, 8],
    Float32Array.from({ length: 4 * cells }, (_, i) => spread * Math.sin(i * i * 0.37 + i)),
  );
  const image = tensor([3, 12, 16], new Float32Array(3 * 12 * 16));
  for (let i = 0; i < image.data.length; i++) {
    const [k, y, x] = [Math.floor(i / 192), Math.floor((i % 192) / 16), i % 16];
    const cell = Math.floor(y / 2) * 8 + Math.floor(x / 2);
    let colour = map[4]![k]!;
    for (let c = 0; c < 4; c++) colour += map[c]![k]! * latents.data[c * cells + cell]! * FACTOR;
    image.data[i] = colour + ((x + y) % 2 === 0 ? 0.01 : -0.01); // detail that a cell has not
  }
  return { latents, image };
}

const map = [
  [0.3, 0.1, -0.2],
  [-0.1, 0.4, 0.2],
  [0.2, 0, 0.1],
  [0, -0.3, 0.3],
  [0.1, -0.2, 0.05],
];

test("finds the map that made the picture", () => {
  const { latents, image } = pictureOf(map, 5);
  const fitted = fitColourMap(latents, image, FACTOR);
  expect(fitted.shape).toEqual([5, 3]);
  for (const [i, value] of map.flat().entries()) expect(fitted.data[i]).toBeCloseTo(value, 2);
});

test("a picture of one colour gives that colour, and no number that is none", () => {
  const { latents } = pictureOf(map, 0);
  const image = tensor([3, 12, 16], new Float32Array(3 * 12 * 16).fill(0.5));
  const fitted = fitColourMap(latents, image, FACTOR);
  expect([...fitted.data.subarray(0, 12)]).toEqual(Array(12).fill(0));
  for (const colour of fitted.data.subarray(12)) expect(colour).toBeCloseTo(0.5, 6);
});
