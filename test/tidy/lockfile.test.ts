/** @file What is installed is what was reviewed: exact versions, their hashes, and no script of theirs. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

interface LockedPackage {
  readonly version: string;
  readonly integrity?: string;
  readonly resolved?: string;
  readonly hasInstallScript?: boolean;
}

const read = (name: string) =>
  JSON.parse(readFileSync(new URL(`../../${name}`, import.meta.url), "utf8"));
const manifest = read("package.json");
const locked = Object.entries<LockedPackage>(read("package-lock.json").packages)
  .filter(([path]) => path !== "")
  .map(([path, entry]) => ({ name: path.replace(/^.*node_modules\//, ""), ...entry }));

test("the lock has the packages of all platforms", () => {
  const names = locked.map(({ name }) => name);
  for (const platform of ["linux-x64", "linux-arm64", "darwin-arm64", "win32-x64"]) {
    expect(names).toContain(`@biomejs/cli-${platform}`);
  }
});

test("every package has its hash", () => {
  const without = locked.filter(({ integrity }) => !integrity?.startsWith("sha512-"));
  expect(without.map(({ name, version }) => `${name}@${version}`)).toEqual([]);
});

test("no package comes from anywhere but the registry that the user has set", () => {
  expect(locked.filter(({ resolved }) => resolved !== undefined)).toEqual([]);
});

test("versions are exact", () => {
  const { dependencies, devDependencies, optionalDependencies } = manifest;
  const wanted = Object.entries<string>({
    ...dependencies,
    ...devDependencies,
    ...optionalDependencies,
  });
  expect(wanted.length).toBeGreaterThan(30);
  expect(wanted.filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version))).toEqual([]);
});

test("a package that would run a script at its installation is refused by name", () => {
  const scripted = new Set(locked.filter((each) => each.hasInstallScript).map(({ name }) => name));
  const refused = Object.entries<boolean>(manifest.allowScripts)
    .filter(([, allowed]) => !allowed)
    .map(([name]) => name);
  expect(scripted.size).toBeGreaterThan(0);
  expect([...scripted].filter((name) => !refused.includes(name))).toEqual([]);
});
