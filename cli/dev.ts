/** @file `renderfarm dev`: a farm on this machine that stays up until Ctrl-C. */
import { DEFAULT_ADDRESS } from "../client/render-farm-client.js";
import { refuseViolations, type Violation } from "../shared/core/errors.js";
import { FieldChecks } from "../shared/farm/field-checks.js";
import { checkGraphs, defaultsOf, openForRequest } from "./check-checkpoint.js";
import { checkFarmFlags, type FarmFlags } from "./farm-flags.js";
import { startLocalFarm } from "./local-farm.js";
import { flagName } from "./render-flags.js";
import { note } from "./voice.js";

export interface DevFlags extends FarmFlags {
  readonly port?: string;
  readonly httpPort?: string;
}

const PORT = { min: 0, max: 65_535 };
const PORT_DEFAULT = Number(DEFAULT_ADDRESS.split(":")[1]);
const HTTP_PORT_DEFAULT = PORT_DEFAULT + 1;

/** A node takes 30 s at most to stop in good order; a little more for its process to end. */
const DRAIN_MS = 32_000;

/** Resolves after a signal; prints the address on stdout and everything else on stderr. */
export async function dev(flags: DevFlags, signal: AbortSignal): Promise<void> {
  const violations: Violation[] = [];
  const farm = checkFarmFlags(flags, violations);
  const checks = new FieldChecks(flagName);
  const port = checks.whole("port", flags.port, PORT, PORT_DEFAULT);
  // Whoever takes any free port for the one wants no fixed one for the other.
  const httpDefault = port === 0 ? 0 : HTTP_PORT_DEFAULT;
  const httpPort = checks.whole("http_port", flags.httpPort, PORT, httpDefault);
  violations.push(...checks.violations);
  const { checkpoint, variant } = farm;
  const opened = checkpoint === "" ? null : await openForRequest(checkpoint, variant, violations);
  if (opened) {
    // Clips of other sizes may fit where the default does not: nodes refuse by the size asked for.
    checkGraphs(opened, defaultsOf(opened.model), violations, { onProcessor: false });
  }
  refuseViolations(violations);

  const nodes = farm.nodeCount === 1 ? "1 node" : `${farm.nodeCount} nodes`;
  note(`starting a farm of ${nodes} with ${farm.checkpoint}`);
  const addresses = { listen: `127.0.0.1:${port}`, http: `127.0.0.1:${httpPort}` };
  const started = await startLocalFarm({
    ...{ ...farm, ...addresses, signal },
    onNote: note,
    restartsNodes: true,
  });
  try {
    process.stdout.write(`${started.address}\n`);
    const where = started.address === DEFAULT_ADDRESS ? "" : ` --address ${started.address}`;
    note(`console: http://${started.httpAddress}/`);
    note(
      `the farm is up; in another terminal:\n  renderfarm submit photo.jpg --out clip.mp4${where}`,
    );
    note("Ctrl-C stops it; nodes that end are started again");
    await Promise.race([aborted(signal), started.broken]);
  } finally {
    note(
      "stopping: nodes end or give back what they work on, 30 s at most; Ctrl-C again ends at once",
    );
    await started.stop(DRAIN_MS);
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
