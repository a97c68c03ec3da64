/** A node's certificate is renewed in mid-clip, the one before it ends: the clip does not notice. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { type ServiceError, status } from "@grpc/grpc-js";
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test, vi } from "vitest";
import { NodeServiceClient } from "../../proto/gen/renderfarm/v1/node_service.js";
import type { Issued } from "../../shared/adapters/tls/authority-folder.js";
import { type ClientTls, secureChannel } from "../../shared/adapters/tls/grpc-credentials.js";
import { CLIP, hashesOf, isMidDenoise, stageOf, undisturbed } from "../farm/farm-harness.js";
import { SecuredFarm, submit } from "./secured-farm.js";

/** Long enough to be held in the middle. */
const LONG = { numInferenceSteps: 40, formats: ["safetensors"], pair: "never" } as const;
/** From when a certificate is made until it ends: long enough to be taken, and renewed. */
const SHORT_MS = 12_000;
const RENEWED = "the stream goes on under the new certificate";

let farm: SecuredFarm;
beforeAll(async () => {
  farm = await SecuredFarm.start(1);
});
afterAll(() => farm?.stop());
beforeEach(() => farm.explainFailure());

/** What a node is shown now; its files may be others later. */
function copyOf({ paths }: Issued): ClientTls {
  const read = (path: string) => readFileSync(path, "utf8");
  return { ca: read(paths.ca), pair: { cert: read(paths.cert), key: read(paths.key) } };
}

/** Why a node that shows this is not let in. */
async function refusalOf(tls: ClientTls): Promise<ServiceError> {
  const { credentials, options } = secureChannel(farm.address, tls);
  const client = new NodeServiceClient(farm.address, credentials, options);
  onTestFinished(() => client.close());
  const [refusal] = (await once(client.connect(), "error")) as [ServiceError];
  return refusal;
}

test("a clip keeps its node, its attempt and its bytes beyond the end of the certificate that it began under", async () => {
  const [undisturbedHashes] = await undisturbed({ ...CLIP, ...LONG });
  const alice = await farm.clientOf("alice", ["submit", "read"]);
  const { jobId } = await submit(alice, LONG);
  const watched = farm.follow(alice, jobId);
  await watched.until((job) => isMidDenoise(job));
  const release = farm.holdRuntime("node-1");
  await farm.startNode("node-2");
  await farm.nodesJoined(2);

  const short = copyOf(await farm.issueNode("node-1", SHORT_MS));
  await farm.issueNode("node-2", SHORT_MS);
  await farm.said("node-1", RENEWED);
  await farm.said("node-2", RENEWED);
  // Only the first one gets another in time.
  await farm.issueNode("node-1");
  await farm.said("node-1", RENEWED, 2);
  await farm.said("node-2", "the certificate of node node-2 has ended");
  expect((await refusalOf(short)).code).toBe(status.UNAUTHENTICATED);
  await vi.waitFor(async () => {
    const connected = (await alice.getFarm()).nodes.filter((node) => node.connected);
    expect(connected.map(({ nodeId }) => nodeId)).toEqual(["node-1"]);
  });

  release();
  const ended = await watched.end();
  expect(stageOf(ended, "denoise")).toMatchObject({ nodeIds: ["node-1"], attempts: 1 });
  expect(hashesOf(ended)).toEqual(undisturbedHashes);
  expect(farm.logOf("node-1")).not.toContain("cut off from the coordinator");
});
