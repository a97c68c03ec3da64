import { expect, test } from "vitest";
import type { FarmError } from "../shared/core/errors.js";
import { readSettings } from "./settings.js";

test("only the folder is needed; flags go before the environment", () => {
  expect(readSettings(["--data", "/d"], {})).toMatchObject({
    listen: "127.0.0.1:7433",
    http: null,
    data: "/d",
    blobs: "file:/d/blobs",
  });
  const env = { RENDERFARM_LISTEN: "[::1]:1", RENDERFARM_HTTP: "[::1]:2", RENDERFARM_DATA: "/env" };
  const read = readSettings(["--data", "/d"], env);
  expect(read).toMatchObject({ listen: "[::1]:1", http: "[::1]:2", data: "/d" });
  expect(readSettings(["--help"], {})).toBeNull();
});

test("blobs may lie elsewhere", () => {
  const blobs = "s3://bucket?endpoint=https://s3.example";
  expect(readSettings(["--data", "/d", "--blobs", blobs], {})).toMatchObject({ blobs });
  const refused = () => readSettings(["--data", "/d", "--blobs", "/b"], {});
  expect(refused).toThrow(/--blobs: "\/b" is not file:DIR or s3:/);
});

test.each(["0.0.0.0:7433", "[::]:7433", "farm.example:7433", "7433"])(
  "%s is refused as an address, with all else that is wrong",
  (listen) => {
    try {
      readSettings(["--listen", listen, "--http", listen], {});
      expect.unreachable();
    } catch (error) {
      const fields = (error as FarmError).violations.map(({ field }) => field);
      expect(fields).toEqual(["--data", "--listen", "--http"]);
    }
  },
);
