/** Owners are apart: what one has made is not there for another, by whatever way it is asked for. */
import { randomBytes } from "node:crypto";
import { type MethodDefinition, status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { RULES } from "../../coordinator/access/scopes.js";
import { JobOptions, RenderParameters } from "../../proto/gen/renderfarm/v1/job.js";
import {
  CreateJobRequest,
  type CreateJobResponse,
  type GetFarmResponse,
  JobServiceService,
  ListJobsRequest,
  type ListJobsResponse,
  type UploadInputResponse,
} from "../../proto/gen/renderfarm/v1/job_service.js";
import { fromServiceError } from "../../shared/adapters/grpc/status.js";
import { idFromBytes } from "../../shared/core/ids.js";
import { PICTURE_HEAD } from "../plan/picture-head.js";
import { type Answer, DoorWorld } from "./door-world.js";

type Method = MethodDefinition<unknown, unknown>;
const METHODS = Object.values(JobServiceService) as Method[];
const CREATE = JobServiceService.createJob as Method;
/** Ids that nobody has; as many in the nightly run as it takes to find a slip by chance. */
const PROBES = process.env["RENDERFARM_NIGHTLY"] ? 10_000 : 100;

let world: DoorWorld;
let alice: string;
let bob: string;
let admin: string;
/** Alice's, and it exists. */
let jobId: string;
let picture: UploadInputResponse["blob"];

beforeAll(async () => {
  world = await DoorWorld.open();
  alice = world.key("alice", ["submit", "read", "cancel"]);
  bob = world.key("bob", ["submit", "read", "cancel"]);
  admin = world.key("root", ["admin"]);
  picture = await upload(alice);
  jobId = await created(alice, { requestId: "mine" });
});
afterAll(() => world?.stop());

async function upload(token: string): Promise<UploadInputResponse["blob"]> {
  const request = { piece: Buffer.from(`${PICTURE_HEAD} of ${token}`) };
  const answer = await world.call(JobServiceService.uploadInput as Method, request, { token });
  return (answer.messages[0] as UploadInputResponse).blob;
}

function create(token: string, change: Partial<CreateJobRequest>): Promise<Answer> {
  world.look();
  const images = picture ? [picture] : [];
  return world.call(CREATE, CreateJobRequest.fromPartial({ images, ...change }), { token });
}

async function created(token: string, change: Partial<CreateJobRequest>): Promise<string> {
  const { messages, code, details } = await create(token, change);
  expect([status[code], details]).toEqual(["OK", "OK"]);
  return (messages[0] as CreateJobResponse).job!.jobId;
}

/** As a client of ours reads it. */
const errorOf = (answer: Answer) =>
  fromServiceError(Object.assign(new Error(answer.details), answer));

const newId = () => idFromBytes(randomBytes(16));

/** Methods whose request names a job; of those to come, too. */
const jobMethods = METHODS.filter((method) => {
  const request = method.requestDeserialize(Buffer.alloc(0)) as object;
  return "jobId" in request;
});
const named = jobMethods.map((method) => [method.path.split("/").at(-1)!, method] as const);

function ask(method: Method, token: string, id: string): Promise<Answer> {
  const request = method.requestDeserialize(Buffer.alloc(0)) as object;
  return world.call(method, { ...request, jobId: id }, { token });
}

describe("a job of another owner", () => {
  test("the methods are found", () => {
    expect(jobMethods.length).toBeGreaterThan(8);
  });

  test.each(named)("%s: answers as for an id that nobody has", async (_name, method) => {
    const nobodys = newId();
    const [other, none] = [await ask(method, bob, jobId), await ask(method, bob, nobodys)];
    expect(status[none.code]).toBe("NOT_FOUND");
    expect({ code: other.code, details: other.details.replaceAll(jobId, nobodys) }).toEqual({
      code: none.code,
      details: none.details,
    });
    expect(errorOf(other)).toMatchObject({ code: "not-found", violations: [], bound: null });
    expect(other.messages).toEqual([]);
  });

  test("is in no list", async () => {
    const list = async (token: string) => {
      const method = JobServiceService.listJobs as Method;
      const { messages } = await world.call(method, ListJobsRequest.fromPartial({}), { token });
      return (messages[0] as ListJobsResponse).jobs.map((job) => job.jobId);
    };
    expect(await list(alice)).toContain(jobId);
    expect(await list(bob)).not.toContain(jobId);
    expect(await list(admin)).toContain(jobId);
  });

  test("as the place where a page of a list begins: as an id that nobody has", async () => {
    const page = (pageToken: string) =>
      world.call(JobServiceService.listJobs as Method, ListJobsRequest.fromPartial({ pageToken }), {
        token: bob,
      });
    expect((await page(jobId)).details).toBe((await page(newId())).details);
  });

  const references: [name: string, request: (id: string) => Partial<CreateJobRequest>][] = [
    ["waited for", (id) => ({ options: JobOptions.fromPartial({ dependsOn: [id] }) })],
    [
      "branched from",
      (id) => ({
        options: JobOptions.fromPartial({ branch: { jobId: id, clipIndex: 0, step: 2 } }),
      }),
    ],
  ];
  test.each(references)("%s: as an id that nobody has", async (_name, request) => {
    const mine = await upload(bob);
    const nobodys = newId();
    const of = (id: string) => create(bob, { ...request(id), images: [mine!] });
    const [other, none] = [await of(jobId), await of(nobodys)];
    expect(none.code).not.toBe(status.OK);
    expect(other.details.replaceAll(jobId, nobodys)).toBe(none.details);
    expect(other.code).toBe(none.code);
  });

  test("under the same request id: another job is made", async () => {
    const mine = await upload(bob);
    const his = await created(bob, { requestId: "mine", images: [mine!] });
    expect(his).not.toBe(jobId);
    expect(await created(bob, { requestId: "mine", images: [mine!] })).toBe(his);
    expect(await created(alice, { requestId: "mine" })).toBe(jobId);
  });

  test("is seen by an admin", async () => {
    const answer = await ask(JobServiceService.getJob as Method, admin, jobId);
    expect(answer.messages).toMatchObject([{ job: { jobId, options: { owner: "alice" } } }]);
  });
});

test("the use that others make of the farm is not told", async () => {
  await world.coordinator.loop.dispatch({ kind: "job-cancelled", jobId });
  const ownersSeenBy = async (token: string) => {
    const { messages } = await world.call(JobServiceService.getFarm as Method, {}, { token });
    const { usageByOwner, usageByStage } = messages[0] as GetFarmResponse;
    return [usageByOwner.map(({ owner }) => owner), usageByStage.length > 0];
  };
  expect(await ownersSeenBy(admin)).toEqual([["alice"], true]);
  expect(await ownersSeenBy(alice)).toEqual([["alice"], false]);
  expect(await ownersSeenBy(bob)).toEqual([[], false]);
});

test("a picture of another owner is no input, as one that nobody has uploaded", async () => {
  const [other, none] = [
    await create(bob, {}),
    await create(bob, { images: [{ ...picture!, key: `v1/inputs/alice/${newId()}` }] }),
  ];
  const pattern = /images\[0\]: 'v1\/inputs\/alice\/\w{26}' is no uploaded input/;
  for (const { code, details } of [other, none]) {
    expect(code).toBe(status.INVALID_ARGUMENT);
    expect(details).toMatch(pattern);
  }
});

test("latents of another owner neither", async () => {
  const mine = await upload(bob);
  const parameters = RenderParameters.fromPartial({ latents: picture! });
  expect(await create(bob, { images: [mine!], parameters })).toMatchObject({
    code: status.INVALID_ARGUMENT,
    details: expect.stringContaining("latents"),
  });
});

describe("the owner of a new job", () => {
  test("is the key's", async () => {
    const answer = await create(alice, { options: JobOptions.fromPartial({ owner: "alice" }) });
    expect(answer.messages).toMatchObject([{ job: { options: { owner: "alice" } } }]);
  });

  test.each(["bob", "local"])("cannot be %s", async (owner) => {
    const answer = await create(alice, { options: JobOptions.fromPartial({ owner }) });
    expect(status[answer.code]).toBe("PERMISSION_DENIED");
    expect(errorOf(answer).code).toBe("permission-denied");
  });
});

test(`${PROBES} ids at random find nothing`, async () => {
  const reads = jobMethods.filter(({ path }) => {
    const rule = RULES.get(path);
    return rule?.who === "user" && rule.scope === "read";
  });
  const found: string[] = [];
  for (let i = 0; i < PROBES; i++) {
    const id = i % 2 === 0 ? newId() : oneCharacterOff(jobId, i);
    const { code } = await ask(reads[i % reads.length]!, bob, id);
    if (code !== status.NOT_FOUND) found.push(`${id}: ${status[code]}`);
  }
  expect(found).toEqual([]);
});

function oneCharacterOff(id: string, i: number): string {
  const at = i % id.length;
  return `${id.slice(0, at)}${id[at] === "0" ? "1" : "0"}${id.slice(at + 1)}`;
}
