/** What a Grafana would stumble over in a dashboard, looked for without one. */
import { describe, expect, test } from "vitest";
import { generatedFiles, RULES } from "../../deploy/grafana/dashboards.js";
import { readText } from "./watched-farm.js";

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: {
    readonly x: number;
    readonly y: number;
    readonly w: number;
    readonly h: number;
  };
  readonly datasource?: { readonly type: string; readonly uid: string };
  readonly targets?: readonly {
    readonly refId: string;
    readonly expr: string;
    readonly legendFormat: string;
    readonly datasource: { readonly uid: string };
  }[];
  readonly fieldConfig?: { readonly defaults: { readonly unit?: string } };
}

interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly schemaVersion: number;
  readonly panels: readonly Panel[];
  readonly templating: {
    readonly list: readonly { readonly name: string; readonly type: string }[];
  };
}

/** Of Grafana's ids of units, those that ours are shown in. */
const UNITS = new Set(["short", "s", "ops", "Bps", "bytes", "percentunit", "dateTimeFromNow"]);
const COLUMNS = 24;
/** Grafana's own, in any dashboard. */
const BUILT_IN = new Set(["__rate_interval", "__range", "__interval"]);

const dashboards = [...generatedFiles(readText(`deploy/${RULES}`))]
  .filter(([name]) => name.endsWith(".json"))
  .map(([name, text]) => [name.split("/").at(-1)!, JSON.parse(text) as Dashboard, text] as const);

test("each dashboard has a name and an address of its own", () => {
  expect(dashboards.length).toBeGreaterThan(3);
  for (const field of ["uid", "title"] as const) {
    const values = dashboards.map(([, board]) => board[field]);
    expect(new Set(values).size).toBe(values.length);
  }
});

describe.each(dashboards)("%s", (_name, board, text) => {
  const { panels } = board;
  const shown = panels.filter(({ type }) => type !== "row");

  test("is of a form that Grafana takes", () => {
    expect(board.schemaVersion).toBeGreaterThanOrEqual(36);
    expect(board.uid).toMatch(/^[a-z0-9-]{1,40}$/);
    expect(new Set(panels.map(({ type }) => type))).toEqual(
      new Set(
        ["row", "stat", "timeseries"].filter((type) => panels.some((panel) => panel.type === type)),
      ),
    );
  });

  test("its panels have ids of their own", () => {
    const ids = panels.map(({ id }) => id);
    expect(ids.every((id) => Number.isInteger(id) && id > 0)).toBe(true);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test("no panel lies on another one or outside of the board", () => {
    const taken = new Map<string, string>();
    for (const { title, gridPos } of panels) {
      expect(gridPos.x + gridPos.w, title).toBeLessThanOrEqual(COLUMNS);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          expect(taken.get(`${x} ${y}`), `${title} at ${x}, ${y}`).toBeUndefined();
          taken.set(`${x} ${y}`, title);
        }
      }
    }
  });

  test("every panel says what it shows, in which unit, from the data source that is chosen", () => {
    for (const { title, description, fieldConfig, datasource, targets = [] } of shown) {
      expect(description, title).toMatch(/\S/);
      expect(UNITS, title).toContain(fieldConfig?.defaults.unit);
      for (const source of [datasource, ...targets.map((target) => target.datasource)]) {
        expect(source?.uid, title).toBe(`\${datasource}`);
      }
      const refIds = targets.map(({ refId }) => refId);
      expect(refIds.length, title).toBeGreaterThan(0);
      expect(new Set(refIds).size, title).toBe(refIds.length);
    }
  });

  test("what is counted over time is counted over an interval that Grafana fits to the scrapes", () => {
    for (const { title, targets = [] } of shown) {
      for (const { expr } of targets) {
        for (const [, range] of expr.matchAll(/\b(?:rate|increase)\([^[]*\[([^\]]+)\]/g)) {
          expect(range, title).toMatch(/^(\$__rate_interval|\$__range|\d+[mhd])$/);
        }
      }
    }
  });

  test("every variable that is used is declared, and every one that is declared is used", () => {
    const declared = board.templating.list.map(({ name }) => name);
    const used = [...text.matchAll(/\$\{?([A-Za-z_]+)/g)].map(([, name]) => name!);
    expect(board.templating.list[0]).toMatchObject({ name: "datasource", type: "datasource" });
    expect(used.filter((name) => !BUILT_IN.has(name) && !declared.includes(name))).toEqual([]);
    expect(declared.filter((name) => !used.includes(name))).toEqual([]);
  });
});
