import { describe, expect, test } from "vitest";
import { FarmError } from "../core/errors.js";
import { type Environment, SettingReader } from "./setting-reader.js";

const KINDS = {
  listen: { type: "string" },
  "api-token": { type: "string" },
  threads: { type: "string" },
  mode: { type: "string" },
  standby: { type: "boolean" },
} as const;

const FILES: Record<string, string> = { "/run/token": "from the file\n", "/run/empty": "\n" };

function readerOf(args: readonly string[], env: Environment = {}): SettingReader {
  const readFile = (path: string) => {
    const text = FILES[path];
    if (text === undefined) throw new Error("no such file");
    return text;
  };
  return new SettingReader(KINDS, { args, env, readFile });
}

function fieldsRefused(reader: SettingReader): string[] {
  try {
    reader.done();
    return [];
  } catch (error) {
    return (error as FarmError).violations.map(({ field }) => field);
  }
}

describe("a setting comes from", () => {
  const file = { RENDERFARM_API_TOKEN_FILE: "/run/token" };
  const variable = { ...file, RENDERFARM_API_TOKEN: "from the variable" };
  test.each([
    ["the flag, before all", ["--api-token", "from the flag"], variable, "from the flag"],
    ["the variable, before the file", [], variable, "from the variable"],
    ["the file, without its line's end", [], file, "from the file"],
    ["its default", [], {}, "the default"],
    ["its default, where the variable is empty", [], { RENDERFARM_API_TOKEN: "" }, "the default"],
    [
      "its default, where the file is",
      [],
      { RENDERFARM_API_TOKEN_FILE: "/run/empty" },
      "the default",
    ],
  ])("%s", (_, args, env, expected) => {
    const reader = readerOf(args, env);
    expect(reader.text("api-token", "the default")).toBe(expected);
    expect(fieldsRefused(reader)).toEqual([]);
  });
});

test("all wrong settings are named at once", () => {
  const env = { RENDERFARM_API_TOKEN_FILE: "/run/none" };
  const reader = readerOf(["--threads", "0", "--mode", "fast"], env);
  expect(reader.text("listen")).toBe("");
  expect(reader.optional("api-token")).toBeNull();
  reader.integer("threads", [1, 8], 1);
  reader.choice("mode", ["slow", "auto"], "auto");
  reader.check("--mode", true, "is legal");
  const fields = ["--listen", "RENDERFARM_API_TOKEN_FILE", "--threads", "--mode"];
  expect(fieldsRefused(reader)).toEqual(fields);
});

test("legal values are taken", () => {
  const reader = readerOf(["--threads", "8", "--standby"], { RENDERFARM_MODE: "slow" });
  expect(reader.integer("threads", [1, 8], 1)).toBe(8);
  expect(reader.choice("mode", ["slow", "auto"], "auto")).toBe("slow");
  expect(reader.isSet("standby")).toBe(true);
  expect(fieldsRefused(reader)).toEqual([]);
});

test.each([
  [{}, false],
  [{ RENDERFARM_STANDBY: "1" }, true],
  [{ RENDERFARM_STANDBY: "true" }, true],
  [{ RENDERFARM_STANDBY: "0" }, false],
])("a switch in the environment %j is %s", (env, expected) => {
  expect(readerOf([], env).isSet("standby")).toBe(expected);
});

test.each([[["--unknown"]], [["--listen"]], [["word"]]])("%j is refused", (args) => {
  expect(() => readerOf(args)).toThrow(FarmError);
});
