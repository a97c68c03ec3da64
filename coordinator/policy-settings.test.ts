import { expect, test } from "vitest";
import type { FarmError } from "../shared/core/errors.js";
import { readSettings } from "./settings.js";
import { POLICY_DEFAULT } from "./shell/farm-loop.js";

const policyOf = (...args: string[]) => readSettings(["--data", "/d", ...args], {})?.policy;

test("all accelerators for everyone, an hour and 30 days, unless told", () => {
  expect(policyOf()).toEqual(POLICY_DEFAULT);
});

test("an owner's share, and what is kept how long", () => {
  expect(
    policyOf("--owner-accelerators", "4", "--keep-intermediates", "10m", "--keep-outputs", "7d"),
  ).toEqual({ ownerAcceleratorsMax: 4, intermediatesKeptMs: 600_000, outputsKeptMs: 604_800_000 });
});

test.each<[args: string[], field: string]>([
  [["--owner-accelerators", "0"], "--owner-accelerators"],
  [["--keep-intermediates", "soon"], "--keep-intermediates"],
  [["--keep-outputs", "7"], "--keep-outputs"],
  [["--keep-outputs", "10m"], "--keep-outputs"],
])("%j is refused", (args, field) => {
  try {
    policyOf(...args);
    expect.unreachable();
  } catch (error) {
    expect((error as FarmError).violations.map((violation) => violation.field)).toEqual([field]);
  }
});
