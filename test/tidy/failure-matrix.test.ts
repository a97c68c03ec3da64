/** What docs/reliability.md names as shown by is there: every file, every fault, every test. */
import { expect, test } from "vitest";
import { FAULTS, LATER_FAULTS, THIRD_FAULTS } from "../sim/scenario.js";
import { readText, trackedFiles } from "./sources.js";

const page = readText("docs/reliability.md");
const files = trackedFiles();
const faults: readonly string[] = [...FAULTS, ...LATER_FAULTS, ...THIRD_FAULTS];
/** Rows of servers, networks and whoever must not come in: each has its tests by name. */
const WITH_TESTS = [9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 40, 41, 42, 43, 44, 45];

/** Cells of the columns "shown by". */
function shownBy(): string[] {
  let column = -1;
  return page.split("\n").flatMap((line) => {
    const cells = line.split("|").map((cell) => cell.trim());
    if (cells.length === 1) column = -1;
    if (!cells.includes("shown by")) return cells[column]?.replace(/^-+$/, "") || [];
    column = cells.indexOf("shown by");
    return [];
  });
}

const quoted = (text: string, pattern: RegExp): string[] =>
  [...text.matchAll(pattern)].map(([, name = ""]) => name);
const NAME = /`([^`]+)`/g;

/** A path from the root, also of a folder, or a file by its own name, without what tests end in. */
function isThere(name: string): boolean {
  const file = name.endsWith(".ts") ? name : `${name}.test.ts`;
  return files.some((path) => isOfPattern(`/${path}`, file) || path.startsWith(`${name}/`));
}

/** At most one "*" stands for anything. */
function isOfPattern(text: string, pattern: string): boolean {
  const [begin = "", end] = pattern.split("*");
  return end === undefined
    ? text.endsWith(`/${begin}`)
    : text.startsWith(`/${begin}`) && text.endsWith(end);
}

test("every file of the columns is there", () => {
  const named = shownBy().flatMap((cell) => quoted(cell.replace(/\(.*?\)/g, ""), NAME));
  expect(named.length).toBeGreaterThan(80);
  expect(named.filter((name) => !isThere(name))).toEqual([]);
});

test("every fault of the simulation is one of its faults", () => {
  const named = shownBy().flatMap((cell) =>
    quoted(cell, /sim \(([^)]+)\)/g).flatMap((list) => quoted(list, NAME)),
  );
  expect(named.length).toBeGreaterThan(3);
  expect(named.filter((name) => !faults.some((fault) => isOfPattern(`/${fault}`, name)))).toEqual(
    [],
  );
});

const [, list = ""] = /### By name\n\n.*?\n\n(- .*?)\n\n/s.exec(page) ?? [];
const rows = list.replace(/\n {2}/g, " ").split("\n");

test.each(rows.map((row) => [/^- \*\*(\d+)\*\* /.exec(row)?.[1], row] as const))(
  "the tests of row %s are in their files",
  (number, row) => {
    expect(number).toBeDefined();
    const places = [...row.matchAll(/`(\S+\.test\.ts)`: ((?:"[^"]+"(?:; )?)+)/g)];
    expect(places.length).toBeGreaterThan(0);
    for (const [, file = "", titles = ""] of places) {
      const missing = quoted(titles, /"([^"]+)"/g).filter(
        (title) => !readText(file).includes(`"${title}"`),
      );
      expect(missing, file).toEqual([]);
    }
    // Nothing of the row was passed over.
    expect(places.flatMap(([text]) => quoted(text, NAME))).toEqual(quoted(row, NAME));
  },
);

test("every row of servers, networks and intruders has its tests by name", () => {
  const named = new Set(rows.map((row) => Number(/\d+/.exec(row)?.[0])));
  expect(WITH_TESTS.filter((number) => !named.has(number))).toEqual([]);
});
