/** How the console looks and reads: no serious violation, nothing wider than the screen. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { AxeResults } from "axe-core";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { LocalFarm } from "../../cli/local-farm.js";
import { describeInBrowser, openPage, startChromium } from "./browser.js";
import { OTHER_PICTURE, PICTURE, renderClip, startConsoleFarm } from "./console-farm.js";

const axeSource = readFileSync(
  createRequire(import.meta.url).resolve("axe-core/axe.min.js"),
  "utf8",
);

interface Focused {
  readonly name: string;
  readonly outlineStyle: string;
}

/** What has the focus; the input of the drop zone is shown by the outline of what is around it. */
const FOCUSED = `(() => {
  const element = document.activeElement;
  if (!element || element === document.body) return null;
  const shown = element.closest(".drop") ?? element;
  const name = element.getAttribute("aria-label") ?? element.getAttribute("name");
  const { outlineStyle } = getComputedStyle(shown);
  return { name: name ?? element.textContent.trim(), outlineStyle };
})()`;

describeInBrowser("the looks of the console", () => {
  let farm: LocalFarm;
  let browser: Browser;
  let url: string;

  beforeAll(async () => {
    [farm, browser] = await Promise.all([startConsoleFarm(), startChromium()]);
    url = `http://${farm.httpAddress}/`;
    await renderClip(farm);
  });

  afterAll(async () => {
    await browser?.close();
    await farm?.stop();
  });

  const VIEWS = ["submit", "queue", "gallery", "farm"] as const;
  /** Something that is only there once the view is complete. */
  const COMPLETE = {
    submit: "Choose a picture first.",
    queue: "succeeded",
    gallery: "Again with this seed",
    farm: "The same as a table",
  } as const;

  async function openView(page: Page, view: (typeof VIEWS)[number]): Promise<void> {
    await page.goto(`${url}#${view}`);
    await page.getByText(COMPLETE[view], { exact: true }).first().waitFor();
  }

  /** Serious and critical violations, as "rule: element". */
  async function violationsOf(page: Page): Promise<string[]> {
    // Past the page's own security policy: the tool is no part of the page.
    await page.evaluate(axeSource);
    const results = await page.evaluate<AxeResults>("axe.run(document)");
    expect(results.passes.length, "rules that were looked at and held").toBeGreaterThan(10);
    return results.violations
      .filter(({ impact }) => impact === "serious" || impact === "critical")
      .flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html.slice(0, 160)}`));
  }

  describe.each(["light", "dark"] as const)("in %s colours", (colorScheme) => {
    test.each(VIEWS)(
      "%s has no serious violation of what makes a page accessible",
      async (view) => {
        const page = await openPage(browser, url, { colorScheme });
        await openView(page, view);
        for (const summary of await page.locator("summary:visible").all()) await summary.click();
        expect(await violationsOf(page)).toEqual([]);
      },
    );

    test("nor have pictures with values of their own", async () => {
      const page = await openPage(browser, `${url}#submit`, { colorScheme });
      await openOwnValues(page);
      expect(await violationsOf(page)).toEqual([]);
    });

    test("nor has a form with problems, nor a dialog", async () => {
      const page = await openPage(browser, `${url}#gallery`, { colorScheme });
      await page.locator('input[name="images"]').setInputFiles(PICTURE);
      await page.locator('input[name="fps"]').fill("0");
      await page.locator('input[aria-invalid="true"]').waitFor();
      expect(await violationsOf(page)).toEqual([]);
      await page
        .getByRole("button", { name: /closely$/ })
        .first()
        .click();
      await page.getByRole("dialog").waitFor();
      expect(await violationsOf(page)).toEqual([]);
    });
  });

  /** Two pictures, the values of one of them open and wrong. */
  async function openOwnValues(page: Page): Promise<void> {
    await page.locator('input[name="images"]').setInputFiles([PICTURE, OTHER_PICTURE]);
    const row = page.getByRole("listitem").filter({ hasText: "scene3.png" });
    await row.locator("summary.picture-head").click();
    await row.getByLabel("seed").fill("18446744073709551615");
    await row.getByLabel("motion_bucket_id").fill("2000");
    await row.getByText("is no whole number from 0 to 1023").waitFor();
  }

  test.each([360, 800, 1440])("nothing is wider than a screen of %i pixels", async (width) => {
    const page = await openPage(browser, url, { viewport: { width, height: 740 } });
    for (const view of VIEWS) {
      if (view === "submit" && width > 1079) continue;
      await openView(page, view);
      const widest = await page.evaluate("document.documentElement.scrollWidth");
      expect([view, widest]).toEqual([view, width]);
    }
    await page.goto(`${url}#submit`);
    await openOwnValues(page);
    expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(width);
    const isCut = "[...document.querySelectorAll('.own-values .field-name')]";
    const cut = `${isCut}.filter((e) => e.scrollWidth > e.clientWidth).map((e) => e.textContent)`;
    expect(await page.evaluate(cut), "names that are cut off").toEqual([]);
  });

  test("everything can be reached and used by the keyboard, and the focus is seen", async () => {
    const page = await openPage(browser, `${url}#queue`);
    await page.getByText("succeeded", { exact: true }).waitFor();
    const seen: string[] = [];
    await page.keyboard.press("Tab");
    for (let i = 0; i < 40; i++) {
      const focused = await page.evaluate<Focused | null>(FOCUSED);
      if (focused === null) break;
      expect(focused, "has an outline").not.toMatchObject({ outlineStyle: "none" });
      seen.push(focused.name);
      await page.keyboard.press("Tab");
    }
    const wanted = ["Skip to the content", "Gallery", "API key", "images", "seed", "formats"];
    expect(seen).toEqual(expect.arrayContaining([...wanted, "Use its settings", "Delete"]));
  });

  test("a choice of colours is kept", async () => {
    const page = await openPage(browser, url, { colorScheme: "light" });
    const theme = () => page.evaluate("document.documentElement.dataset.theme");
    expect(await theme()).toBe("light");
    await page.getByRole("button", { name: /^Colours: auto/ }).click();
    await page.getByRole("button", { name: /^Colours: light/ }).click();
    expect(await theme()).toBe("dark");
    await page.reload();
    expect(await theme()).toBe("dark");
  });
});
