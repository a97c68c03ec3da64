/** The HTTP edge over real sockets: the shapes of the API, its refusals, its files. */
import { connect } from "node:net";
import { describe, expect, test } from "vitest";
import { startGateway } from "../../test/http/gateway.js";
import { PICTURE_HEAD } from "../../test/plan/picture-head.js";

interface Refused {
  readonly code: number;
  readonly message: string;
  readonly details: readonly { readonly reason?: string; readonly fieldViolations?: object[] }[];
}

interface ListAnswer {
  readonly jobs: readonly { readonly jobId: string }[];
  readonly nextPageToken: string;
}

interface JobAnswer {
  readonly job: { readonly jobId: string; readonly state: string; readonly options: object };
}

describe("jobs", () => {
  test("are made, looked at, listed, moved, paused, resumed, cancelled and deleted", async () => {
    const gateway = await startGateway();
    const jobId = await gateway.createJob({ numFrames: 2 });
    const path = `/v1/jobs/${jobId}`;
    const state = async (verb: string) => (await gateway.post<JobAnswer>(`${path}:${verb}`)).json;
    expect(await gateway.json(path)).toMatchObject({
      status: 200,
      json: { job: { jobId, state: "JOB_STATE_RUNNING", parameters: { numFrames: 2, fps: 7 } } },
    });
    expect(await gateway.json("/v1/jobs?pageSize=5&states=JOB_STATE_RUNNING")).toMatchObject({
      json: { jobs: [{ jobId }], nextPageToken: "" },
    });
    expect(await gateway.json("/v1/jobs?states=JOB_STATE_PAUSED")).toMatchObject({
      json: { jobs: [] },
    });
    expect(await gateway.post(`${path}:setPriority`, { priority: 70 })).toMatchObject({
      json: { job: { options: { priority: 70 } } },
    });
    expect(await state("pause")).toMatchObject({ job: { state: "JOB_STATE_PAUSED" } });
    expect(await state("resume")).toMatchObject({ job: { state: "JOB_STATE_RUNNING" } });
    expect(await state("cancel")).toMatchObject({ job: { state: "JOB_STATE_CANCELLED" } });
    expect(await state("retry")).toMatchObject({ job: { state: "JOB_STATE_RUNNING" } });
    await state("cancel");
    expect(await gateway.json(path, { method: "DELETE" })).toEqual({ status: 200, json: {} });
    expect((await gateway.json(path)).status).toBe(404);
  });

  test("can be planned without being made", async () => {
    const gateway = await startGateway();
    const image = { key: `v1/inputs/${"0".repeat(26)}`, sha256: "0".repeat(64), size: 1 };
    const planned = await gateway.post("/v1/jobs", { images: [image], validateOnly: true });
    expect(planned).toMatchObject({ status: 200, json: { dryRun: { plan: "single", clips: 1 } } });
    expect(await gateway.json("/v1/jobs")).toMatchObject({ json: { jobs: [] } });
  });

  test("have labels, and are found by them; pages go on where they ended", async () => {
    const gateway = await startGateway();
    const make = (labels: object) => {
      gateway.clock.advance(1);
      return gateway.createJob({ numFrames: 2 }, { options: { labels } });
    };
    const blue = [await make({ team: "blue", shot: "1" }), await make({ team: "blue", shot: "2" })];
    const red = await make({ team: "red" });
    const list = (query: string) => gateway.json<ListAnswer>(`/v1/jobs?${query}`);
    const idsOf = async (query: string) => (await list(query)).json.jobs.map((job) => job.jobId);

    expect(await idsOf("")).toEqual([red, blue[1], blue[0]]);
    expect(await idsOf("labelSelector=team%3Dblue")).toEqual([blue[1], blue[0]]);
    expect(await idsOf("labelSelector=team,shot%3D1")).toEqual([blue[0]]);
    const first = await list("labelSelector=team&pageSize=2");
    expect(first.json.jobs).toMatchObject([
      { jobId: red, options: { labels: { team: "red" } } },
      { jobId: blue[1] },
    ]);
    const token = `pageToken=${first.json.nextPageToken}`;
    await gateway.post(`/v1/jobs/${blue[1]}:cancel`);
    await gateway.json(`/v1/jobs/${blue[1]}`, { method: "DELETE" });
    expect(await idsOf(`labelSelector=team&pageSize=2&${token}`)).toEqual([blue[0]]);

    for (const [query, field] of [
      ["labelSelector=shot%20", "label_selector"],
      ["pageSize=-1", "page_size"],
      ["pageToken=here", "page_token"],
      [token, "page_token"], // without the selector that it came with
    ] as const) {
      const refused = await gateway.json<Refused>(`/v1/jobs?${query}`);
      expect(refused.status).toBe(400);
      expect(refused.json.details[1]).toMatchObject({ fieldViolations: [{ field }] });
    }
    const odd = await gateway.post<Refused>("/v1/jobs", { options: { labels: { "a b": "1" } } });
    expect(odd.json.details[1]).toMatchObject({
      fieldViolations: [{ field: "options.labels[a b]" }, { field: "images" }],
    });
  });

  test("are the same job under the same request id, and refused with another body", async () => {
    const gateway = await startGateway();
    const once = { requestId: "once" };
    const jobId = await gateway.createJob({ numFrames: 2 }, once);
    // Its picture uploaded again, to another place; when it runs is not what it is.
    expect(await gateway.createJob({ numFrames: 2 }, { ...once, options: { priority: 9 } })).toBe(
      jobId,
    );
    const { json } = await gateway.json<{ images: object[] }>(`/v1/jobs/${jobId}/inputs`);
    const other = { images: json.images, parameters: { numFrames: 3 }, ...once };
    const refused = await gateway.post<Refused>("/v1/jobs", other);
    expect(refused).toMatchObject({
      status: 400,
      json: { details: [{}, { fieldViolations: [{ field: "request_id" }] }] },
    });
    expect(refused.json.message).toContain(`made job ${jobId} of other pictures, parameters`);
  });

  test("want pictures: every file that is none, or too large, is named, and no job is made", async () => {
    const gateway = await startGateway();
    const upload = async (body: string | Buffer) => {
      const { json } = await gateway.json<{ blob: object }>("/v1/inputs", { method: "POST", body });
      return json.blob;
    };
    const vast = Buffer.from("\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\x01\0\0\0\0\x80\0", "latin1");
    const images = await Promise.all(["<svg/>", PICTURE_HEAD, "text.png", vast].map(upload));
    const { status, json } = await gateway.post<Refused>("/v1/jobs", { images });
    const description = "is neither png, jpeg nor webp; convert it to one of them";
    expect(status).toBe(400);
    expect(json.details.at(-1)).toMatchObject({
      fieldViolations: [
        { field: "images[0]", description },
        { field: "images[2]", description },
        { field: "images[3]", description: expect.stringContaining("has 65536 x 32768 pixels") },
      ],
    });
    expect(gateway.loop.farm.jobs.size).toBe(0);
  });

  test("have their pictures looked at again", async () => {
    const gateway = await startGateway();
    const jobId = await gateway.createJob();
    const { json } = await gateway.json<{ images: { size: string }[] }>(`/v1/jobs/${jobId}/inputs`);
    expect(json.images).toMatchObject([{ size: "12" }]);
    const { headers, body } = await gateway.ask(`/v1/jobs/${jobId}/inputs/0`);
    // By its bytes, whatever it was called: never something that a browser would run.
    expect(headers["content-type"]).toBe("image/webp");
    expect(body.toString()).toBe(PICTURE_HEAD);
    expect((await gateway.ask(`/v1/jobs/${jobId}/inputs/1`)).status).toBe(404);
  });
});

test("the farm is shown; a node is drained and gets work again", async () => {
  const gateway = await startGateway();
  const refusals = async () => {
    const { json } = await gateway.json<{ nodes: { refusal: string }[] }>("/v1/farm");
    return json.nodes.map(({ refusal }) => refusal);
  };
  expect(await refusals()).toEqual([""]);
  expect((await gateway.post("/v1/nodes/node-a:drain")).status).toBe(200);
  expect(await refusals()).toEqual(["draining"]);
  expect((await gateway.post("/v1/nodes/node-a:undrain")).status).toBe(200);
  expect(await refusals()).toEqual([""]);
});

describe("refused:", () => {
  test("every wrong field at once, as google.rpc.Status", async () => {
    const gateway = await startGateway();
    const { status, json } = await gateway.post<Refused>("/v1/jobs", {
      parameters: { height: 13, fps: 0 },
    });
    expect(status).toBe(400);
    expect(json.code).toBe(3);
    const [info, request] = json.details;
    expect(info).toMatchObject({ reason: "INVALID_ARGUMENT", domain: "renderfarm" });
    expect(
      request?.fieldViolations?.map((violation) => (violation as { field: string }).field),
    ).toEqual(["parameters.height", "images", "parameters.fps"]);
  });

  const json = { "content-type": "application/json" };
  const cases: [name: string, method: string, path: string, status: number, says: string][] = [
    ["a job that there is not", "GET", "/v1/jobs/nobody", 404, "no job 'nobody'"],
    ["a path that there is not", "GET", "/v1/job", 404, "see docs/http.md"],
    ["a page that there is not", "GET", "/../../etc/passwd", 404, "npm run build"],
    ["a method that a path has not", "DELETE", "/v1/jobs", 405, "legal: POST, GET"],
    ["a method that a page has not", "PUT", "/", 405, "legal: GET, HEAD"],
    ["a field of a query that there is not", "GET", "/v1/jobs?pagesize=2", 400, "pageSize"],
    ["a field given twice", "GET", "/v1/jobs?pageSize=2&pageSize=3", 400, "not a number"],
    ["a field that the path gives", "GET", "/v1/jobs/a?jobId=b", 400, "by the path already"],
    ["a broken escape", "GET", "/v1/jobs/%ff", 400, "broken % escape"],
    ["a clip that is no number", "GET", "/v1/jobs/x/clips/-1/outputs/a", 404, "no job"],
  ];
  test.each(cases)("%s", async (_name, method, path, status, says) => {
    const gateway = await startGateway();
    const answer = await gateway.json<Refused>(path, { method, headers: json });
    expect(answer.status).toBe(status);
    expect(answer.json.message).toContain(says);
  });

  const bodies: [name: string, body: string | Uint8Array, type: string, status: number][] = [
    ["no JSON", "{", "application/json", 400],
    ["a key twice", '{"images":[],"images":[]}', "application/json", 400],
    ["JSON without end", `${"[".repeat(20)}${"]".repeat(20)}`, "application/json", 400],
    ["a list", "[]", "application/json", 400],
    ["a form", "a=b", "application/x-www-form-urlencoded", 415],
    ["a body that is too long", new Uint8Array(2 * 1024 * 1024), "application/json", 413],
  ];
  test.each(bodies)("%s", async (_name, body, type, status) => {
    const gateway = await startGateway();
    const headers = { "content-type": type };
    const answer = await gateway.ask("/v1/jobs", { method: "POST", headers, body });
    expect(answer.status).toBe(status);
    expect(JSON.parse(answer.body.toString())).toMatchObject({ code: 3 });
  });

  test("an empty input", async () => {
    const gateway = await startGateway();
    const { status, json } = await gateway.json<Refused>("/v1/inputs", { method: "POST" });
    expect([status, json.message]).toEqual([400, "the input is empty"]);
  });

  test("pages of other sites, and names that only point here", async () => {
    const gateway = await startGateway();
    const statusWith = async (headers: Record<string, string>, path = "/v1/farm") =>
      (await gateway.ask(path, { headers })).status;
    const own = gateway.url;
    expect(await statusWith({ origin: own })).toBe(200);
    expect(await statusWith({ "sec-fetch-site": "same-origin" })).toBe(200);
    expect(await statusWith({ origin: "http://evil.example" })).toBe(403);
    expect(await statusWith({ origin: "null" })).toBe(403);
    expect(await statusWith({ "sec-fetch-site": "cross-site" })).toBe(403);
    expect(await statusWith({ host: "rebound.example" })).toBe(403);
    // A link from elsewhere may open the page.
    const link = { "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate" };
    expect(await statusWith(link, "/healthz")).toBe(200);
    expect((await gateway.ask("/v1/farm")).headers["access-control-allow-origin"]).toBeUndefined();
  });
});

test("health, readiness and version", async () => {
  const gateway = await startGateway();
  expect(await gateway.json("/healthz")).toEqual({ status: 200, json: { status: "ok" } });
  expect(await gateway.json("/readyz")).toEqual({ status: 200, json: { status: "ok" } });
  expect(await gateway.json("/readyz?verbose")).toEqual({
    status: 200,
    json: { status: "ok", checks: { journal: "ok", store: "ok", pace: "ok" }, nodes: 1 },
  });
  expect(await gateway.json("/version")).toEqual({
    status: 200,
    json: { version: "1.2.3", node: process.version },
  });
  gateway.blobs.list = () => {
    throw new Error("the disk is gone");
  };
  expect(await gateway.json("/readyz?verbose")).toMatchObject({
    status: 503,
    json: { status: "not ready", checks: { store: "the disk is gone" } },
  });
});

test("the console's files: hashed ones for ever, the others asked for again; compressed", async () => {
  const script = "x".repeat(5_000);
  const gateway = await startGateway({
    console: { "index.html": "<p>page", "assets/app-1a2b.js": script },
  });
  const page = await gateway.ask("/");
  expect(page.body.toString()).toBe("<p>page");
  expect(page.headers).toMatchObject({
    "content-type": "text/html; charset=utf-8",
    "cache-control": "no-cache",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
  });
  expect(page.headers["content-security-policy"]).toMatch(/^default-src 'self';/);
  expect(page.headers["content-security-policy"]).not.toContain("unsafe");
  const headers = { "accept-encoding": "gzip, br", "if-none-match": String(page.headers["etag"]) };
  expect((await gateway.ask("/", { headers })).status).toBe(304);
  const asset = await gateway.ask("/assets/app-1a2b.js", {
    headers: { "accept-encoding": "gzip" },
  });
  expect(asset.headers).toMatchObject({
    "content-encoding": "gzip",
    "cache-control": "public, max-age=31536000, immutable",
  });
  expect(asset.body.length).toBeLessThan(script.length);
  expect((await gateway.ask("/assets/none.js")).status).toBe(404);
});

test("a request that cannot be read is answered, and the server lives on", async () => {
  const gateway = await startGateway();
  const [host = "", port] = (gateway.coordinator.httpAddress ?? "").split(":");
  const answer = await new Promise<string>((resolve) => {
    let text = "";
    const socket = connect(Number(port), host, () => socket.end("NONSENSE\r\n\r\n"));
    socket.on("data", (piece) => {
      text += piece.toString();
    });
    socket.on("close", () => resolve(text));
  });
  expect(answer).toMatch(/^HTTP\/1\.1 400 /);
  expect((await gateway.ask("/healthz")).status).toBe(200);
});
