/** @file The nodes, and who worked on what lately. */
import { EmptyState } from "../parts/empty-state.js";
import { NodeTable } from "../parts/node-table.js";
import { TimelinePanel } from "../parts/timeline-panel.js";
import { farm, nodes } from "../state/farm.js";

export function FarmView() {
  return (
    <section class="view" aria-labelledby="farm-title">
      <h1 id="farm-title" class="view-title">
        Farm
      </h1>
      {farm.value && nodes.value.length === 0 ? (
        <EmptyState
          title="No node is connected"
          text="Start one with: node dist/gpu-node/main.js --coordinator HOST:PORT --checkpoint DIR"
        />
      ) : (
        <NodeTable />
      )}
      <TimelinePanel />
    </section>
  );
}
