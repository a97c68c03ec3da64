/** Whether the tests of this folder can tell anything on this machine. */
import { expect, test } from "vitest";
import { isRequired, missing, startChromium } from "./browser.js";

test("a browser is there and starts, or it is said that the console was not tried", async () => {
  if (missing !== "") console.warn(`the console was not tried here: ${missing}`);
  expect(isRequired ? missing : "").toBe("");
  const browser = missing === "" ? await startChromium() : null;
  expect(browser === null || browser.isConnected()).toBe(true);
  await browser?.close();
});
