/** @file The steps of a pair as its two nodes logged them, side by side. */

/** A line "time of a step" of a node's log. */
export interface LoggedStep {
  readonly plan: string;
  readonly step_s: number;
  readonly compute_s: number;
  readonly wait_s: number;
  readonly combine_s: number;
  readonly sent_bytes: number;
  /** Milliseconds since 1970. */
  readonly half_made_at: number;
  readonly partner_half_at: number | null;
}

/** The steps that a log tells of, in order. */
export function readSteps(log: string): LoggedStep[] {
  return log
    .split("\n")
    .filter((line) => line.includes('"time of a step"'))
    .map((line) => JSON.parse(line) as LoggedStep);
}

/**
 * A row for every step and node. "exchange" is the time from the partner's having its half to its
 * being here, "wait" the part of it in which this node had nothing to do.
 */
export function stepTable(nodes: readonly (readonly LoggedStep[])[]): string {
  const head = ["step", "node", "compute ms", "exchange ms", "wait ms", "step ms", "sent bytes"];
  const rows: string[][] = [];
  for (const [i] of (nodes[0] ?? []).entries()) {
    for (const [n, steps] of nodes.entries()) {
      const own = steps[i];
      const partner = nodes[1 - n]?.[i];
      if (!own) continue;
      const came = own.partner_half_at;
      const exchange = came === null || !partner ? null : came - partner.half_made_at;
      rows.push([
        String(i + 1),
        `node-${n + 1}`,
        ms(own.compute_s * 1_000),
        exchange === null ? "-" : ms(exchange),
        ms(own.wait_s * 1_000),
        ms(own.step_s * 1_000),
        String(own.sent_bytes),
      ]);
    }
  }
  return [head, ...rows]
    .map((cells) => cells.map((cell) => cell.padStart(11)).join(" "))
    .join("\n");
}

function ms(value: number): string {
  return value.toFixed(1);
}
