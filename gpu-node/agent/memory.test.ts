import { expect, test } from "vitest";
import { usableMemory } from "./memory.js";

test.each<[name: string, constrained: number | undefined, usable: number]>([
  ["no container", undefined, 100],
  ["a container without a limit", 2 ** 63, 100],
  ["a limit that is not known", 0, 100],
  ["a container with a limit", 40, 40],
  ["a limit above what the machine has", 200, 100],
])("%s", (_name, constrained, usable) => {
  expect(usableMemory(constrained, 100)).toBe(usable);
});
