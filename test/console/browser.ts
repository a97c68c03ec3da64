/** @file A real Chromium on a real farm: the page as a user has it. */
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { describe, expect, onTestFinished } from "vitest";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/** As in a container without a display, and with nothing that speaks to the world by itself. */
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** A test that sees nothing of what it waits for in this time has failed. */
const PATIENCE_MS = 60_000;

/** A Chromium of this machine; null where there is none. */
function findChromium(): string | null {
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  const candidates = NAMES.flatMap((name) => folders.map((folder) => join(folder, name)));
  return candidates.find(isExecutable) ?? null;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

const executablePath = findChromium();

/** What is missing here; "" where everything is there. */
export const missing =
  executablePath === null ? `no browser: none of ${NAMES.join(", ")} is in PATH` : "";

/** Whether a machine that lacks the browser fails, as the one of continuous integration does. */
export const isRequired = process.env["RENDERFARM_REQUIRE_SERVERS"] === "1";

/** Tests that need a browser; left out where there is none, unless it is required. */
export const describeInBrowser = describe.skipIf(missing !== "" && !isRequired);

export async function startChromium(): Promise<Browser> {
  if (executablePath === null) throw new Error(missing);
  return chromium.launch({ executablePath, args: FLAGS });
}

/** A page whose script must raise no error and load nothing from elsewhere while the test runs. */
export async function openPage(
  browser: Browser,
  url: string,
  options: BrowserContextOptions = {},
): Promise<Page> {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  const complaints: string[] = [];
  const { origin } = new URL(url);
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    // A refused request is the farm's answer, which the page shows.
    const isAnswer = message.text().startsWith("Failed to load resource");
    if (message.type() === "error" && !isAnswer) complaints.push(message.text());
  });
  page.on("request", (request) => {
    const isOwn = request.url().startsWith(origin) || request.url().startsWith("blob:");
    if (!isOwn) complaints.push(`asked for ${request.url()}`);
  });
  onTestFinished(async () => {
    await context.close();
    expect(complaints, "what the page complained of").toEqual([]);
  });
  await page.goto(url);
  await page.getByText("live", { exact: true }).waitFor();
  return page;
}
