import { expect, test } from "vitest";
import { targetOf } from "./connection-options.js";

test.each([
  ["farm.example:7433", "farm.example:7433"],
  ["127.0.0.1:1", "127.0.0.1:1"],
  ["10.0.0.1:1,10.0.0.2:2", "ipv4:10.0.0.1:1,10.0.0.2:2"],
  ["localhost:1,127.0.0.1:2", "ipv4:127.0.0.1:1,127.0.0.1:2"],
  ["[::1]:1,[fd00::2]:2", "ipv6:[::1]:1,[fd00::2]:2"],
])("%s is dialled as %s", (address, target) => {
  expect(targetOf(address)).toBe(target);
});

test.each(["a.example:1,b.example:2", "127.0.0.1:1,[::1]:2", "127.0.0.1:1,"])(
  "%s is refused",
  (address) => {
    expect(() => targetOf(address)).toThrow(/\[invalid-argument\] --address .* one name/);
  },
);
