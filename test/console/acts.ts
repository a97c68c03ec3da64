/** @file What a user of the console does again and again. */
import type { Page, Response } from "playwright-core";
import { expect } from "vitest";
import { PICTURE } from "./console-farm.js";

/** Looks again and again until it is so. */
export const eventually = <T>(look: () => Promise<T>) => expect.poll(look, { timeout: 30_000 });

export const field = (page: Page, name: string) => page.locator(`input[name="${name}"]`);
const choose = (page: Page) => field(page, "images").setInputFiles(PICTURE);
export const render = (page: Page) => page.getByRole("button", { name: "Render" });

/** The clip of one job: the gallery has those of other tests too. */
export const clipOf = (page: Page, jobId: string, number = 1) =>
  page.getByRole("article", { name: `clip ${number} of job ${jobId.slice(-6)}` });

/** Submits what the form says. @returns the card of this very job: older ones are on the page too */
export async function submit(page: Page) {
  const isAnswer = (answer: Response) => {
    const request = answer.request();
    const isJob = request.method() === "POST" && new URL(answer.url()).pathname === "/v1/jobs";
    // The form asks at the same place, while somebody types, what would become of the job.
    return isJob && !(request.postDataJSON() as { validateOnly?: boolean }).validateOnly;
  };
  const [answer] = await Promise.all([page.waitForResponse(isAnswer), render(page).click()]);
  const { job } = (await answer.json()) as { job: { jobId: string } };
  const { jobId } = job;
  return { jobId, card: page.getByRole("article", { name: `Job ${jobId.slice(-6)}` }) };
}

/** Fills the form for a clip of a few seconds. */
export async function fill(
  page: Page,
  values: Readonly<Record<string, string>> = {},
): Promise<void> {
  await choose(page);
  await page.getByText("All parameters").click();
  const small = { num_frames: "4", width: "32", height: "32", num_inference_steps: "3" };
  for (const [name, value] of Object.entries({ ...small, ...values })) {
    await field(page, name).fill(value);
  }
}

/** Notes every text that a canvas of the page draws. */
export const DRAWN_TEXTS = `(() => {
  globalThis.drawnTexts = [];
  const { prototype } = CanvasRenderingContext2D;
  const fillText = prototype.fillText;
  prototype.fillText = function (text, ...place) {
    drawnTexts.push(text);
    return fillText.call(this, text, ...place);
  };
})()`;
