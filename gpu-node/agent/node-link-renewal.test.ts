/** A node's stream is renewed when its certificate was: what goes by which stream, and in which order. */
import { X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { status } from "@grpc/grpc-js";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ManualClock } from "../../shared/adapters/clock/manual-clock.js";
import type { NodeOrder } from "../../shared/adapters/grpc/node-codec.js";
import { AuthorityFolder, type Issued } from "../../shared/adapters/tls/authority-folder.js";
import { FarmServerCredentials } from "../../shared/adapters/tls/grpc-credentials.js";
import { TlsFiles } from "../../shared/adapters/tls/tls-files.js";
import { NodeLink } from "./node-link.js";
import {
  type Call,
  identity,
  ScriptedCoordinator,
  TASK,
  WELCOME,
} from "./node-link-coordinator.js";

const HOUR_MS = 3_600_000;
/** How soon a change of files is seen. */
const LOOK_MS = 1_000;
/** At least, before a renewal that failed is tried again. */
const RETRY_MS = 2_500;
const cancel = (epoch: number): NodeOrder => ({ kind: "cancel", taskId: TASK, epoch });
const progress = (stepsDone: number) =>
  ({ kind: "progress", stepsDone, secondsPerStep: 0.5 }) as const;

let folder: string;
let certs: AuthorityFolder;
let clock: ManualClock;
let coordinator: ScriptedCoordinator;
let tls: { readonly node: TlsFiles; readonly server: TlsFiles };
let link: NodeLink;
let log: string[];

const until = (condition: () => boolean) => coordinator.until(condition);
const issueNode = () => certs.issue({ role: "node", name: "node-1" }, { lifeMs: HOUR_MS });

function note(line: string): void {
  log.push(line);
  coordinator.wake();
}

/** New files of the node, which it has seen. */
async function rotate(): Promise<Issued> {
  const issued = await issueNode();
  clock.advance(LOOK_MS);
  return issued;
}

/** Kinds of what came by a stream, without the heartbeats that time brings. */
function kindsOf(index: number): string[] {
  return coordinator.heardOf(index).flatMap(({ kind }) => (kind === "heartbeat" ? [] : [kind]));
}

/** Serial number of the certificate that a stream was opened with. */
function shown(call: Call): string | undefined {
  const raw = call.getAuthContext().sslPeerCertificate?.raw;
  return raw && new X509Certificate(raw).serialNumber;
}

const serialOf = (issued: Issued) =>
  new X509Certificate(readFileSync(issued.paths.cert)).serialNumber;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "farm-renewal-"));
  clock = new ManualClock();
  log = [];
  const root = { farm: "test", lifeMs: HOUR_MS, nowMs: Date.now };
  certs = await AuthorityFolder.create(join(folder, "certs"), root);
  const life = { lifeMs: HOUR_MS, hosts: ["127.0.0.1"] };
  const server = await certs.issue({ role: "coordinator", name: "" }, life);
  const node = await issueNode();
  const parts = { clock, wallMs: Date.now, log: { info: () => {}, warn: () => {} } };
  tls = {
    node: new TlsFiles(node.paths, { ...parts, role: "node" }),
    server: new TlsFiles(server.paths, { ...parts, role: "coordinator" }),
  };
  coordinator = new ScriptedCoordinator();
  await coordinator.listen(0, new FarmServerCredentials(tls.server));
  link = new NodeLink({
    addresses: [coordinator.address],
    identity,
    clock,
    tls: tls.node,
    random: () => 0,
    onUp: () => note("up"),
    onOrder: (order) => note(order.kind === "cancel" ? `cancel ${order.epoch}` : order.kind),
    onDown: (reason) => note(`down: ${reason}`),
    onRenewal: (failure) => note(failure === null ? "renewed" : `not renewed: ${failure}`),
  });
  link.start();
  await until(() => log.includes("up"));
});
afterEach(() => {
  link.close();
  tls.node.close();
  tls.server.close();
  coordinator.stop();
  rmSync(folder, { recursive: true, force: true });
});

test("new files: a second stream shows them, takes over, and the first one ends in good order", async () => {
  const issued = await rotate();
  await until(() => log.includes("renewed"));
  expect(shown(coordinator.calls[1]!)).toBe(serialOf(issued));
  expect(coordinator.heardOf(1)[0]).toEqual({
    kind: "renewal",
    nodeId: identity.nodeId,
    bootId: identity.bootId,
  });
  expect(coordinator.ended).toEqual([0]);
  link.report(TASK, 1, progress(2));
  await until(() => kindsOf(1).includes("report"));
  coordinator.tell(cancel(1));
  await until(() => log.includes("cancel 1"));
  expect(log).toEqual(["up", "renewed", "cancel 1"]);
});

test("files that stay what they are renew nothing", async () => {
  clock.advance(LOOK_MS);
  await until(() => coordinator.heard.at(-1)?.kind === "heartbeat");
  expect(coordinator.calls).toHaveLength(1);
});

test("reports go by the first stream until the welcome, from then on by the second", async () => {
  coordinator.onConnect = () => {};
  await rotate();
  await until(() => kindsOf(1).includes("renewal"));
  link.report(TASK, 1, progress(1));
  await until(() => kindsOf(0).includes("report"));
  coordinator.tell(WELCOME);
  await until(() => log.includes("renewed"));
  link.report(TASK, 1, progress(2));
  await until(() => kindsOf(1).includes("report"));
  expect([kindsOf(0), kindsOf(1)]).toEqual([
    ["hello", "report"],
    ["renewal", "report"],
  ]);
});

test("orders of the second stream are read once the first was read to its end", async () => {
  coordinator.onEnd = () => {};
  await rotate();
  await until(() => coordinator.ended.includes(0));
  const [first, second] = coordinator.calls as [Call, Call];
  coordinator.tell(cancel(2), second);
  coordinator.tell(cancel(1), first);
  await until(() => log.includes("cancel 1"));
  expect(log).toEqual(["up", "cancel 1"]);
  first.end();
  await until(() => log.includes("cancel 2"));
  expect(log).toEqual(["up", "cancel 1", "renewed", "cancel 2"]);
});

test("a renewal that is refused leaves the first stream as it is, and is tried again", async () => {
  coordinator.onConnect = (call) =>
    call.emit("error", { code: status.UNAUTHENTICATED, details: "an unknown root" });
  await rotate();
  await until(() => log.length === 2);
  expect(log[1]).toMatch(/^not renewed: .*an unknown root/);
  coordinator.tell(cancel(1), coordinator.calls[0]);
  await until(() => log.includes("cancel 1"));
  coordinator.onConnect = (call) => coordinator.tell(WELCOME, call);
  clock.advance(RETRY_MS - 1);
  expect(coordinator.calls).toHaveLength(2);
  clock.advance(1);
  await until(() => log.includes("renewed"));
  expect(log.filter((line) => line.startsWith("down"))).toEqual([]);
});

test("a first stream that breaks off meanwhile fences the node: what came by it may be lost", async () => {
  coordinator.onEnd = () => {};
  await rotate();
  await until(() => coordinator.ended.includes(0));
  coordinator.calls[0]!.emit("error", { code: status.ABORTED, details: "cut" });
  await until(() => log.length === 2);
  expect(log[1]).toMatch(/^down: .*cut/);
  expect(link.holdsLease()).toBe(false);
  await until(() => coordinator.ended.includes(1));
  clock.advance(LOOK_MS);
  await until(() => log.at(-1) === "up");
  expect(kindsOf(2)).toEqual(["hello"]);
});

test("a first stream that never ends costs the lease, no more", async () => {
  coordinator.onEnd = () => {};
  await rotate();
  await until(() => coordinator.ended.includes(0));
  clock.advance(5_000);
  expect(log).toEqual(["up", "down: nothing was heard for 5000 ms"]);
});

test("files that change while a stream is being renewed renew it once more", async () => {
  coordinator.onEnd = () => {};
  await rotate();
  await until(() => coordinator.ended.includes(0));
  const last = await rotate();
  expect(coordinator.calls).toHaveLength(2);
  coordinator.onEnd = (call) => void call.end();
  coordinator.calls[0]!.end();
  await until(() => log.filter((line) => line === "renewed").length === 2);
  expect(shown(coordinator.calls[2]!)).toBe(serialOf(last));
  expect(coordinator.ended).toEqual([0, 1]);
});

test("a node that leaves while its stream is being renewed leaves in good order", async () => {
  coordinator.onEnd = () => {};
  await rotate();
  await until(() => coordinator.ended.includes(0));
  const alone = link.stopping();
  link.report(TASK, 1, { kind: "yielded", checkpoint: null });
  link.leave();
  await until(() => coordinator.ended.includes(1));
  for (const call of coordinator.calls) call.end();
  await alone;
  expect(kindsOf(1)).toEqual(["renewal", "stopping", "report"]);
  expect(log).toEqual(["up"]);
});
