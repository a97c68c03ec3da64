import { expect, test } from "vitest";
import { holderName } from "./holder-name.js";

test("a start that shares address, host and process number with another has another name", () => {
  const [one, other] = [holderName("0.0.0.0:7433"), holderName("0.0.0.0:7433")];
  expect(one).toMatch(/^0\.0\.0\.0:7433 \(.+, process \d+, start [0-9a-f]{8}\)$/);
  expect(other).not.toBe(one);
});
