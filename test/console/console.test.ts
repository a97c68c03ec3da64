/** The console in a real Chromium, on a real farm: what a user does, and what a user sees. */
import { readFileSync } from "node:fs";
import { crc32 } from "node:zlib";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { LocalFarm } from "../../cli/local-farm.js";
import { clipOf, DRAWN_TEXTS, eventually, field, fill, render, submit } from "./acts.js";
import { describeInBrowser, openPage, startChromium } from "./browser.js";
import { OTHER_PICTURE, PICTURE, renderClip, startConsoleFarm } from "./console-farm.js";

describeInBrowser("the console", () => {
  let farm: LocalFarm;
  let browser: Browser;
  let url: string;

  beforeAll(async () => {
    [farm, browser] = await Promise.all([startConsoleFarm(), startChromium()]);
    url = `http://${farm.httpAddress}/`;
  });

  afterAll(async () => {
    await browser?.close();
    await farm?.stop();
  });

  /** What these tests look at of a video. */
  interface Video {
    readonly videoWidth: number;
    readonly videoHeight: number;
    readonly currentTime: number;
  }

  test("an empty farm says what to do; a picture becomes a clip that plays", async () => {
    const page = await openPage(browser, url);
    await page.getByText("Nothing was rendered here yet").waitFor();
    expect(await render(page).isDisabled()).toBe(true);

    await fill(page, { seed: "41", decode_chunk_size: "2", num_inference_steps: "8" });
    await page.getByText("decoded in 2 chunks").waitFor();
    const { jobId, card } = await submit(page);
    const bar = card.getByRole("progressbar");
    await eventually(() => bar.getAttribute("aria-valuetext")).toMatch(/^step [1-8]\/8/);
    await card.getByText("succeeded").waitFor();
    expect(await bar.getAttribute("aria-valuenow")).toBe("100");
    const said = page.getByRole("status");
    await eventually(() => said.textContent()).toBe(`Job ${jobId.slice(-6)} is succeeded.`);

    await page.getByRole("link", { name: "Gallery" }).click();
    const clip = clipOf(page, jobId);
    await clip.getByText("seed 41").waitFor();
    await clip.getByRole("button", { name: "Play clip 1" }).click();
    await clip.getByRole("button", { name: "Pause clip 1" }).waitFor();
    const video = clip.locator("video");
    const facts = await video.evaluate((v: Video) => [v.videoWidth, v.videoHeight]);
    expect(facts).toEqual([32, 32]);
    // What plays moves on.
    await eventually(() => video.evaluate((v: Video) => v.currentTime)).toBeGreaterThan(0);

    const saved = page.waitForEvent("download");
    await clip.getByRole("button", { name: "mp4" }).click();
    expect((await saved).suggestedFilename()).toBe("clip.mp4");
  });

  test("the same again with its seed, and another from one of its steps", async () => {
    const { jobId } = await renderClip(farm);
    const page = await openPage(browser, `${url}#gallery`);
    const clip = clipOf(page, jobId);
    await clip.getByRole("button", { name: "Again with this seed" }).click();
    await eventually(() => field(page, "seed").inputValue()).toBe("42");
    expect(await field(page, "num_inference_steps").inputValue()).toBe("3");
    await page.getByAltText(/^picture 1 of/).waitFor();

    await page.getByRole("link", { name: "Gallery" }).click();
    await clip.getByRole("combobox", { name: "Branch from step" }).selectOption("1");
    await page.getByText("Begins at step 1 of clip 1").waitFor();
    await field(page, "motion_bucket_id").fill("20");
    const { card } = await submit(page);
    await card.getByText("succeeded").waitFor();
  });

  test("a clip looked at closely tells every number that it was made from", async () => {
    const { jobId } = await renderClip(farm);
    const page = await openPage(browser, `${url}#gallery`);
    const clip = clipOf(page, jobId);
    await clip.getByRole("button", { name: /closely$/ }).click();
    const dialog = page.getByRole("dialog");
    await dialog.locator(".number").first().waitFor();
    const numbers = await dialog.locator(".number").allTextContents();
    expect(numbers).toContain("seed42");
    expect(numbers).toContain("num_frames4");
    expect(numbers.find((line) => line.startsWith("decode") && !line.includes("_"))).toMatch(
      / on node-/,
    );
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "hidden" });
  });

  describe("what is wrong is said at its field", () => {
    test("by the farm, all of it at once, before anything is sent", async () => {
      const page = await openPage(browser, url);
      await fill(page, { width: "33", num_frames: "many", fps: "0", seed: "-1" });
      const wrong = page.locator('input[aria-invalid="true"]');
      await eventually(() => wrong.count()).toBeGreaterThan(0);
      await field(page, "num_frames").fill("4");
      await field(page, "seed").fill("7");
      await eventually(() =>
        wrong.evaluateAll((all) => all.map((e) => e.getAttribute("name"))),
      ).toEqual(["fps", "width"]);
      const says = async (name: string) => {
        const ids = (await field(page, name).getAttribute("aria-describedby")) ?? "";
        return page.locator(`#${ids.split(" ")[0]}`).textContent();
      };
      expect(await says("width")).toContain("no multiple of 8");
      expect(await says("fps")).toContain("from 1 to 240");
      await render(page).click();
      await eventually(() => page.locator(":focus").getAttribute("name")).toBe("fps");
      await field(page, "width").fill("32");
      await field(page, "fps").fill("7");
      await eventually(() => wrong.count()).toBe(0);
    });

    test("of files that are no pictures, before they are sent; the others are rendered", async () => {
      const page = await openPage(browser, url);
      const whole = readFileSync(PICTURE);
      const vast = Buffer.from(whole);
      vast.writeUInt32BE(20_000, 16);
      vast.writeUInt32BE(20_000, 20);
      vast.writeUInt32BE(crc32(vast.subarray(12, 29)), 29);
      const files: [name: string, bytes: Buffer, says: string][] = [
        ["notes.png", Buffer.from("no picture"), "This is neither png, jpeg nor webp."],
        ["empty.png", Buffer.alloc(0), "The file is empty."],
        ["odd.png", Buffer.concat([whole.subarray(0, 12), Buffer.alloc(90)]), "is damaged"],
        ["vast.png", vast, "20000 × 20000 pixels are more than 4096 × 4096."],
      ];
      const sent = files.map(([name, buffer]) => ({ name, mimeType: "image/png", buffer }));
      await field(page, "images").setInputFiles(sent);
      for (const [name, , says] of files) {
        const row = page.getByRole("listitem").filter({ hasText: name });
        await row.getByText(says).waitFor();
      }
      expect(await render(page).isDisabled()).toBe(true);
      await fill(page, { seed: "7" });
      await page.getByText("1 clip,").waitFor();
      const { card } = await submit(page);
      await card.getByText("succeeded").waitFor();
      expect(await card.getByRole("progressbar").count()).toBe(1);
    });
  });

  describe("several pictures in one job, one with values of its own", () => {
    /** The row of the second picture, opened by the keyboard; the first one is as the form says. */
    async function openRow(page: Page) {
      await fill(page, { seed: "41" });
      await field(page, "images").setInputFiles(OTHER_PICTURE);
      const row = page.getByRole("listitem").filter({ hasText: "scene3.png" });
      await row.locator("summary").press("Enter");
      return row;
    }

    /** As the API tells them. */
    async function clipsOf(jobId: string): Promise<object[]> {
      const answer = await fetch(`${url}v1/jobs/${jobId}`);
      const { job } = (await answer.json()) as { job: { parameters: { clips: object[] } } };
      return job.parameters.clips;
    }

    test("make the clips of one job, each by its own, and come back with them", async () => {
      const page = await openPage(browser, url);
      const row = await openRow(page);
      await eventually(() => row.getByLabel("seed").getAttribute("placeholder")).toBe("42");
      await row.getByLabel("seed").fill("7");
      await row.getByLabel("motion_bucket_id").fill("200");
      await row.getByRole("combobox", { name: /^guidance/ }).selectOption("triangle");
      await row.getByText("seed 7, motion_bucket_id 200, guidance triangle").waitFor();
      await page.getByText("2 clips").waitFor();
      const { jobId, card } = await submit(page);
      await card.getByText("succeeded").waitFor();

      const [linear, triangle] = [
        { kind: "GUIDANCE_KIND_LINEAR" },
        { kind: "GUIDANCE_KIND_TRIANGLE" },
      ];
      expect(await clipsOf(jobId)).toMatchObject([
        { imageIndex: 0, seed: "41", motionBucketId: 127, fps: 7, guidance: linear },
        { imageIndex: 1, seed: "7", motionBucketId: 200, fps: 7, guidance: triangle },
      ]);

      await page.getByRole("link", { name: "Gallery" }).click();
      const clip = clipOf(page, jobId, 2);
      await clip.getByText("seed 7", { exact: true }).waitFor();
      await clip.getByRole("button", { name: "Again with this seed" }).click();
      // The form held the same values before; the row that comes back has the picture of the job.
      const filled = page.getByRole("listitem").filter({ hasText: `of ${jobId.slice(-6)}` });
      const told = "seed 7, motion_bucket_id 200, guidance triangle";
      await filled.last().getByText(told).waitFor();
    });

    test("may have one guidance scale a frame, as the form may; such a list is checked and comes back", async () => {
      const page = await openPage(browser, url);
      const row = await openRow(page);
      const kindOf = (place: Page | typeof row) =>
        place.getByRole("combobox", { name: /^guidance/ }).last();
      await kindOf(page).selectOption("frames");
      await field(page, "guidance_scales").fill("1, 2, 3");
      const form = page.locator("label", { has: field(page, "guidance_scales") });
      await form.getByText("lists 3 scales for 4 frames").waitFor();
      await field(page, "guidance_scales").fill("1, 1.5, 2, 1.5");
      await form.locator(".problem").waitFor({ state: "detached" });

      await kindOf(row).selectOption("frames");
      const own = row.getByLabel("guidance_scales");
      await own.fill("1 2 101 1");
      await row.getByText("'101', scale 3 of 4, is no number from 0 to 100").waitFor();
      expect(await own.getAttribute("aria-invalid")).toBe("true");
      await own.fill("1 2 2 1");
      await page.getByText("2 clips").waitFor();
      const { jobId, card } = await submit(page);
      await card.getByText("succeeded").waitFor();
      const kind = "GUIDANCE_KIND_FRAMES";
      expect(await clipsOf(jobId)).toMatchObject([
        { guidance: { kind, scales: [1, 1.5, 2, 1.5] } },
        { guidance: { kind, scales: [1, 2, 2, 1] } },
      ]);

      await page.getByRole("link", { name: "Gallery" }).click();
      await clipOf(page, jobId, 2).getByRole("button", { name: "Again with this seed" }).click();
      const filled = page.getByRole("listitem").filter({ hasText: `of ${jobId.slice(-6)}` });
      await filled.last().getByText("guidance one a frame, guidance_scales 1, 2, 2, 1").waitFor();
      expect(await field(page, "guidance_scales").inputValue()).toBe("1, 1.5, 2, 1.5");
      expect(await field(page, "min_guidance_scale").inputValue()).toBe("");
    });

    test("are told what is wrong at their own field, and the first wrong one gets the focus", async () => {
      const page = await openPage(browser, url);
      const row = await openRow(page);
      const says = (text: string) => row.locator("label", { hasText: text });
      await row.getByLabel("fps").fill("many");
      await says("is not a number").getByRole("textbox", { name: "fps" }).waitFor();
      await row.getByLabel("fps").fill("12.5");
      await row.getByLabel("motion_bucket_id").fill("2000");
      await says("is no whole number from 1 to 240").waitFor();
      await says("is no whole number from 0 to 1023").waitFor();
      await row.getByText("2 problems").waitFor();
      const wrong = page.locator('[aria-invalid="true"]');
      expect(await wrong.count(), "fields of the form and of the other picture are right").toBe(2);

      await row.locator("summary").press("Enter");
      await row.getByLabel("fps").waitFor({ state: "hidden" });
      await render(page).click();
      await row.getByLabel("fps").waitFor();
      await eventually(() => page.locator(":focus").inputValue()).toBe("12.5");

      await row.getByRole("button", { name: "All as the form says" }).click();
      await eventually(() => wrong.count()).toBe(0);
      await row.getByText("Own values: none").waitFor();
    });

    test("also when another picture goes: the values stay with theirs", async () => {
      const page = await openPage(browser, url);
      const row = await openRow(page);
      await row.getByLabel("fps").fill("0");
      await row.getByText("1 problem").waitFor();
      await page.getByRole("button", { name: "Remove scene2.png" }).click();
      await page.getByText("scene2.png").waitFor({ state: "detached" });
      await row.getByText("is no whole number from 1 to 240").waitFor();
      await row.getByLabel("fps").fill("9");
      await page.getByText("1 clip,").waitFor();
      await row.getByText("Own values: fps 9").waitFor();
    });
  });

  test("labels are given in the form, shown, and find their jobs", async () => {
    const page = await openPage(browser, url);
    await fill(page, { seed: "5", labels: "a b=1" });
    const wrong = page.locator('input[name="labels"][aria-invalid="true"]');
    await wrong.waitFor();
    await field(page, "labels").fill("shot=12a, team=blue");
    const { jobId, card } = await submit(page);
    await card.getByText("succeeded").waitFor();
    await renderClip(farm);
    const cards = page.getByRole("article", { name: /^Job / });
    expect(await cards.count()).toBeGreaterThan(1);
    const label = card.getByRole("button", { name: "team=blue" });
    await label.click();
    await eventually(() => cards.count()).toBe(1);
    const filter = page.getByRole("searchbox", { name: "labels" });
    expect(await filter.inputValue()).toBe("team=blue");

    // Also jobs that the page has not listed: the farm finds them.
    await page.reload();
    await filter.fill("shot=12a, team");
    await card.waitFor();
    await page.getByRole("link", { name: "Gallery" }).click();
    await clipOf(page, jobId).getByRole("button", { name: "shot=12a" }).waitFor();
    await filter.fill("team=red");
    await page.getByText("No finished clip here has these labels.").waitFor();
    await filter.fill("a b");
    await page.getByText(/'a b' is no label's name/).waitFor();
    await filter.fill("");
    await clipOf(page, jobId).getByRole("button", { name: "Again with this seed" }).click();
    await eventually(() => field(page, "labels").inputValue()).toBe("shot=12a, team=blue");
  });

  test("a job is moved, paused, resumed and cancelled from its card", async () => {
    const page = await openPage(browser, url);
    await fill(page, { num_inference_steps: "900" });
    const { card: job } = await submit(page);
    await job.getByAltText(/^Some frames after step/).waitFor();
    await job.getByRole("button", { name: "Raise its priority" }).click();
    await job.getByText("priority 60").waitFor();
    await job.getByRole("button", { name: "Pause" }).click();
    await job.getByText("paused", { exact: true }).first().waitFor();
    await job.getByRole("button", { name: "Resume" }).click();
    await job.getByRole("button", { name: "Pause" }).waitFor();
    await job.getByRole("button", { name: "Cancel" }).click();
    await job.getByText("cancelled").first().waitFor();
  });

  test("a node is drained and gets work again; the timeline shows who did what", async () => {
    await renderClip(farm);
    const page = await openPage(browser, `${url}#farm`);
    const nodes = page.getByRole("region", { name: "Nodes" });
    const row = nodes.getByRole("row", { name: /node-2/ });
    await row.getByRole("button", { name: "Drain node-2" }).click();
    await row.getByText("draining").waitFor();
    await row.getByRole("button", { name: "Undrain node-2" }).click();
    await row.getByText("idle").waitFor();

    await page.getByRole("img", { name: "Work of 2 nodes over time" }).waitFor();
    await page.getByText("The same as a table").click();
    const work = await page
      .getByRole("region", { name: "Latest work" })
      .locator("tbody td:first-of-type")
      .allTextContents();
    const halves = ["conditional half", "unconditional half"];
    const stages = ["condition", ...halves, "decode, chunk 1", "decode, chunk 2", "write files"];
    expect(work).toEqual(expect.arrayContaining(stages));
    for (const half of halves) {
      // Not the latest one: a half that was cancelled before its first step has nothing to tell.
      const named = page.getByRole("cell", { name: half, exact: true });
      const rows = page.getByRole("row").filter({ has: named });
      const told = rows.getByText(/computed .+, waited for the partner's half .+, rest /);
      await told.first().waitFor();
    }
    await page.getByText("waiting for the partner's half", { exact: true }).waitFor();
  });

  test("the words of a bar stay while it grows under the pointer", async () => {
    const page = await openPage(browser, `${url}#submit`);
    await fill(page, { num_inference_steps: "900" });
    const { card } = await submit(page);
    await card
      .getByText(/^step [1-9]/)
      .first()
      .waitFor();
    await page.getByRole("link", { name: "Farm", exact: true }).click();
    const chart = page.getByRole("img", { name: "Work of 2 nodes over time" });
    await chart.waitFor();
    // They are drawn on a canvas: what is drawn from now on.
    await page.evaluate(DRAWN_TEXTS);
    const box = (await chart.boundingBox())!;
    // The first lane, where its bar is high: the denoising goes on, and fills most of the chart.
    await page.mouse.move(box.x + box.width * 0.6, box.y + 28);
    await page.mouse.move(box.x + box.width * 0.6, box.y + 30);
    const words = async () => {
      const drawn = await page.evaluate<string[]>("drawnTexts");
      return new Set(drawn.filter((text) => /^.+ on node-\d, goes on$/.test(text)));
    };
    await eventually(async () => (await words()).size)
      // A bar that is drawn anew tells a longer time; the pointer rests.
      .toBeGreaterThan(2);
    await page.getByRole("link", { name: /^Queue/ }).click();
    await card.getByRole("button", { name: "Cancel" }).click();
    await card.getByText("cancelled").first().waitFor();
  });

  test("the key of a farm that wants one goes along with everything, also with the events", async () => {
    await renderClip(farm);
    const page = await openPage(browser, url);
    await page.route("**/v1/**", (route) => {
      const isKnown = route.request().headers()["authorization"] === "Bearer open-sesame";
      const refusal = { code: 16, message: "give an API key", details: [] };
      return isKnown ? route.continue() : route.fulfill({ status: 401, json: refusal });
    });
    await page.reload();
    await page.getByText("This farm wants an API key").waitFor();
    await page.getByRole("button", { name: "API key" }).click();
    await page.getByRole("textbox", { name: "API key" }).fill("open-sesame");
    await page.getByRole("button", { name: "Use this key" }).click();
    await page.getByText("live", { exact: true }).waitFor();
    await page.getByRole("link", { name: "Gallery" }).click();
    const video = page.locator("video").first();
    await eventually(() => video.getAttribute("src")).toMatch(/^blob:/);
    expect(await page.evaluate("localStorage.length + sessionStorage.length")).toBe(2);
  });
});
