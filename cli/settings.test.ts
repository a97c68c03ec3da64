import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { FarmError } from "../shared/core/errors.js";
import { completionScript } from "./completion.js";
import { addSettings, readSettings, settableNames } from "./settings.js";

let cwd: string;
let home: string;
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), "settings-"));
  onTestFinished(() => rmSync(cwd, { recursive: true }));
  home = join(cwd, "home");
  mkdirSync(join(home, "renderfarm"), { recursive: true });
});
const here = (text: string) => writeFileSync(join(cwd, "renderfarm.yaml"), text);
const own = (text: string) => writeFileSync(join(home, "renderfarm/config.yaml"), text);

function program(seen: (flags: object) => void = () => {}): Command {
  const root = new Command("renderfarm").exitOverride().option("--no-color", "no colours");
  root
    .command("submit")
    .description("send a job")
    .option("--address <host:port>", "the farm")
    .option("--fps <n>", "frames a second")
    .option("--preview", "show it")
    .option("--seed <n>", "of one call")
    .action((flags: object) =>
      seen({ ...flags, ...(root.opts()["color"] ? {} : { plain: true }) }),
    );
  root.command("nodes").description("it's nodes").option("--address <host:port>", "the farm");
  return root;
}

async function flagsOf(env: Record<string, string>, ...args: string[]): Promise<object> {
  let found: object = {};
  const root = program((flags) => {
    found = flags;
  });
  addSettings(root, { XDG_CONFIG_HOME: home, ...env }, cwd);
  await root.parseAsync(["submit", ...args], { from: "user" });
  return found;
}

describe("a flag, then the environment, then the folder's file, then the user's own", () => {
  const all = { RENDERFARM_ADDRESS: "env:1" };
  test.each<[string, Record<string, string>, string[], string[], object]>([
    ["a flag", all, ["here", "own"], ["--address", "flag:1"], { address: "flag:1" }],
    ["a variable", all, ["here", "own"], [], { address: "env:1" }],
    ["the folder's file", {}, ["here", "own"], [], { address: "here:1" }],
    ["the user's own file", {}, ["own"], [], { address: "own:1" }],
    ["an empty variable is none", { RENDERFARM_ADDRESS: "" }, ["own"], [], { address: "own:1" }],
    ["nothing", {}, [], [], {}],
  ])("%s", async (_case, env, files, args, expected) => {
    if (files.includes("here")) here("address: here:1");
    if (files.includes("own")) own("address: own:1");
    expect(await flagsOf(env, ...args)).toEqual(expected);
  });

  test("files add to each other; numbers, lists and flags without a value are as on a command line", async () => {
    own("fps: 12\naddress: [a, b]");
    here("preview: true");
    expect(await flagsOf({})).toEqual({ fps: "12", address: "a,b", preview: true });
    here("preview: false");
    expect(await flagsOf({})).toEqual({ fps: "12", address: "a,b" });
  });

  test.each<[string, Record<string, string>, string[], object]>([
    ["by a flag", {}, ["--no-color"], { plain: true }],
    ["by a variable", { RENDERFARM_NO_COLOR: "1" }, [], { plain: true }],
    ["by a variable that is off", { RENDERFARM_NO_COLOR: "0" }, [], {}],
  ])("what all commands have may be said of all of them: %s", async (_case, env, args, flags) => {
    expect(await flagsOf(env, ...args)).toEqual(flags);
  });

  test("RENDERFARM_CONFIG names one file in place of both", async () => {
    own("fps: 12");
    const path = join(cwd, "other.yaml");
    writeFileSync(path, "address: other:1");
    expect(await flagsOf({ RENDERFARM_CONFIG: path })).toEqual({ address: "other:1" });
  });
});

test("every unknown key of every file is named, with what may be meant", () => {
  here("adress: x\nseed: 1");
  own("fsp: 1\nfps: {a: 1}");
  let refused: unknown;
  try {
    readSettings(program(), { XDG_CONFIG_HOME: home }, cwd);
  } catch (error) {
    refused = error;
  }
  const { violations } = refused as FarmError;
  expect(
    violations.map(({ field, description }) => [field.split("/").at(-1), description]),
  ).toEqual([
    ["config.yaml fsp", "is no setting, did you mean 'fps'?"],
    ["config.yaml fps", "is neither a text, a number, true or false, nor a list of them"],
    ["renderfarm.yaml adress", "is no setting, did you mean 'address'?"],
    ["renderfarm.yaml seed", "is no setting"],
  ]);
});

test.each([
  ["no YAML", "a: [", /cannot be read/],
  ["a list", "- a", /holds no keys/],
])("a file that is %s is refused", (_case, text, message) => {
  here(text);
  expect(() => readSettings(program(), { XDG_CONFIG_HOME: home }, cwd)).toThrow(message);
});

test("what belongs to one call is no setting", () => {
  expect(settableNames(program())).toEqual(["address", "fps", "no-color", "preview"]);
});

describe("completion", () => {
  test("bash knows every verb and its flags", () => {
    const script = completionScript(program(), "bash");
    expect(script).toContain('words="nodes submit"; flags="--help --version"');
    expect(script).toContain(
      'submit) flags="--address --fps --preview --seed --no-color" words="" ;;',
    );
    expect(completionScript(program(), "zsh")).toContain(script);
  });

  test("fish knows what they are for", () => {
    const script = completionScript(program(), "fish");
    expect(script).toContain("-a nodes -d 'it\\'s nodes'");
    expect(script).toContain("__fish_seen_subcommand_from submit' -l fps -d 'frames a second'");
  });

  test("another shell is refused", () => {
    expect(() => completionScript(program(), "tcsh")).toThrow(FarmError);
  });
});
