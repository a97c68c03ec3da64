/** @file `renderfarm certs`: the farm's own certificate authority, in a folder. */
import { isIP } from "node:net";
import type { Command } from "commander";
import type { Issued } from "../shared/adapters/tls/authority-folder.js";
import { LABEL_PATTERN } from "../shared/adapters/tls/identity.js";
import { refuseViolations, type Violation } from "../shared/core/errors.js";
import { printTable } from "./table.js";
import { note } from "./voice.js";

interface CertFlags {
  readonly dir?: string;
}

interface LifeFlags extends CertFlags {
  readonly hours?: string;
  readonly days?: string;
}

interface InitFlags extends LifeFlags {
  readonly farm?: string;
}

interface RotateFlags extends LifeFlags {
  readonly root?: boolean;
  readonly dropOldRoot?: boolean;
}

const DIR_DEFAULT = "certs";
const FARM_DEFAULT = "renderfarm";
const HOUR_MS = 3_600_000;
/** Short, since nothing revokes a certificate: who lost one is kept out by its end. */
const LEAF_HOURS = 72;
const ROOT_HOURS = 3650 * 24;
const LIFE_HOURS_MAX = 20 * 365 * 24;
const HERE = ["localhost", "127.0.0.1", "::1"];
const HOST_PATTERN = /^[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/;

export function addCertVerbs(program: Command): void {
  const certs = program.command("certs").description("the farm's own certificates");
  const verb = (name: string, description: string) =>
    certs
      .command(name)
      .description(description)
      .option("--dir <folder>", `where they are kept (default: ${DIR_DEFAULT})`);
  const leafVerb = (name: string, description: string) =>
    verb(name, description)
      .option("--hours <n>", `how long it is good (default: ${LEAF_HOURS})`)
      .option("--days <n>", "the same, in days");

  verb("init", "make the root that issues all others")
    .option("--farm <name>", `the farm's name in its certificates (default: ${FARM_DEFAULT})`)
    .option("--days <n>", "how long the root is good (default: 3650)")
    .action(init);
  leafVerb(
    "coordinator [host...]",
    `for the coordinator, dialled as: (default: ${HERE.join(" ")})`,
  ).action((hosts: string[], flags: LifeFlags) => issueCoordinator(hosts, flags));
  leafVerb("node <id>", "for a node").action((id: string, flags: LifeFlags) =>
    issueNamed("node", id, flags),
  );
  leafVerb("client <name>", "for a user, beside a key").action((name: string, flags: LifeFlags) =>
    issueNamed("user", name, flags),
  );
  leafVerb("rotate", "issue every certificate anew; processes take them while they run")
    .option("--root", "with a new root; the one before stays trusted")
    .option("--drop-old-root", "trust the present root alone, and issue nothing")
    .action(rotate);
  verb("show", "every certificate, and when it ends").action(show);
}

async function init(flags: InitFlags): Promise<void> {
  const violations: Violation[] = [];
  const lifeMs = lifeOf(flags, ROOT_HOURS, violations);
  const farm = flags.farm ?? FARM_DEFAULT;
  checkLabel("--farm", farm, violations);
  refuseViolations(violations);
  const { AuthorityFolder } = await authorityFolder();
  const dir = flags.dir ?? DIR_DEFAULT;
  const made = await AuthorityFolder.create(dir, { farm, lifeMs, nowMs: Date.now });
  process.stdout.write(`${made.caPath}\n`);
  note(`${dir}/ca holds the root's key: it stays on this machine`);
}

async function issueCoordinator(hosts: readonly string[], flags: LifeFlags): Promise<void> {
  const violations: Violation[] = [];
  for (const host of hosts) {
    if (isIP(host) || HOST_PATTERN.test(host)) continue;
    violations.push({ field: "HOST", description: `'${host.slice(0, 60)}' is no name or address` });
  }
  const lifeMs = lifeOf(flags, LEAF_HOURS, violations);
  refuseViolations(violations);
  const named = hosts.length === 0 ? HERE : hosts;
  const folder = await open(flags);
  printPaths(await folder.issue({ role: "coordinator", name: "" }, { lifeMs, hosts: named }));
}

async function issueNamed(role: "node" | "user", name: string, flags: LifeFlags): Promise<void> {
  const violations: Violation[] = [];
  checkLabel(role === "node" ? "ID" : "NAME", name, violations);
  const lifeMs = lifeOf(flags, LEAF_HOURS, violations);
  refuseViolations(violations);
  const folder = await open(flags);
  printPaths(await folder.issue({ role, name }, { lifeMs }));
}

async function rotate(flags: RotateFlags): Promise<void> {
  const violations: Violation[] = [];
  const lifeMs = lifeOf(flags, LEAF_HOURS, violations);
  if (flags.root && flags.dropOldRoot) {
    const description = "wants every process to have a certificate of the new root first";
    violations.push({ field: "--drop-old-root", description });
  }
  refuseViolations(violations);
  const folder = await open(flags);
  if (flags.dropOldRoot) {
    folder.dropOldRoot();
    process.stdout.write(`${folder.caPath}\n`);
    return;
  }
  if (flags.root) await folder.replaceRoot(ROOT_HOURS * HOUR_MS);
  printIssued(await folder.renewAll({ lifeMs }));
}

async function show(flags: CertFlags): Promise<void> {
  printIssued((await open(flags)).issued());
}

/** Only these verbs make certificates, and what makes them takes a second to load. */
function authorityFolder() {
  return import("../shared/adapters/tls/authority-folder.js");
}

async function open(flags: CertFlags) {
  const { AuthorityFolder } = await authorityFolder();
  return AuthorityFolder.open(flags.dir ?? DIR_DEFAULT, Date.now);
}

function lifeOf(flags: LifeFlags, hoursDefault: number, violations: Violation[]): number {
  const [field, text, hoursEach] =
    flags.days === undefined ? ["--hours", flags.hours, 1] : ["--days", flags.days, 24];
  if (flags.days !== undefined && flags.hours !== undefined) {
    violations.push({ field: "--days", description: "and --hours say the same; give one" });
  }
  if (text === undefined) return hoursDefault * HOUR_MS;
  const hours = /^\d{1,6}$/.test(text) ? Number(text) * hoursEach : Number.NaN;
  if (!(hours >= 1 && hours <= LIFE_HOURS_MAX)) {
    const max = LIFE_HOURS_MAX / hoursEach;
    const description = `'${text.slice(0, 40)}' is no whole number from 1 to ${max}`;
    violations.push({ field, description });
  }
  return hours * HOUR_MS;
}

function checkLabel(field: string, text: string, violations: Violation[]): void {
  if (LABEL_PATTERN.test(text)) return;
  const legal = "1 to 63 characters of [a-z0-9-], no dash at its ends";
  violations.push({ field, description: `'${text.slice(0, 70)}' is not ${legal}` });
}

function printPaths({ paths }: Issued): void {
  process.stdout.write(`${paths.cert}\n${paths.key}\n`);
}

function printIssued(issued: readonly Issued[]): void {
  printTable(
    ["ROLE", "NAME", "ENDS", "LIFE LEFT", "FILE"],
    issued.map(({ identity, startsAtMs, endsAtMs, paths }) => [
      identity.role,
      identity.name || "-",
      new Date(endsAtMs).toISOString(),
      `${Math.round((100 * (endsAtMs - Date.now())) / (endsAtMs - startsAtMs))} %`,
      paths.cert,
    ]),
  );
}
