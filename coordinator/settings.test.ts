import { expect, test } from "vitest";
import type { FarmError } from "../shared/core/errors.js";
import { readSettings } from "./settings.js";

test("only the folder is needed; flags go before the environment", () => {
  const listen = "127.0.0.1:7433";
  expect(readSettings(["--data", "/d"], {})).toEqual({ listen, http: null, data: "/d" });
  const env = { RENDERFARM_LISTEN: "[::1]:1", RENDERFARM_HTTP: "[::1]:2", RENDERFARM_DATA: "/env" };
  const read = readSettings(["--data", "/d"], env);
  expect(read).toEqual({ listen: "[::1]:1", http: "[::1]:2", data: "/d" });
  expect(readSettings(["--help"], {})).toBeNull();
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
