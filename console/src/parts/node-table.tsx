/** @file The nodes: what each is, does and may do. */
import { api } from "../api/client.js";
import type { NodeJson } from "../api/types.js";
import { bytes, seconds } from "../format.js";
import { attempt, notify } from "../state/announce.js";
import { models, nodes } from "../state/farm.js";
import { busyShare, lastSecondsPerStep } from "../state/timeline.js";

export function NodeTable() {
  const hasMemory = nodes.value.some((node) => memoryOf(node) > 0);
  return (
    <section class="table-scroll" aria-label="Nodes">
      <table class="table node-table">
        <thead>
          <tr>
            <th scope="col">Node</th>
            <th scope="col">State</th>
            <th scope="col">Provider</th>
            {hasMemory && <th scope="col">Memory</th>}
            <th scope="col">Checkpoint</th>
            <th scope="col" class="cell-number">
              Tasks
            </th>
            <th scope="col" class="cell-number">
              A step
            </th>
            <th scope="col">Busy lately</th>
            <th scope="col">
              <span class="visually-hidden">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {nodes.value.map((node) => (
            <NodeRow key={node.nodeId} node={node} hasMemory={hasMemory} />
          ))}
        </tbody>
      </table>
    </section>
  );
}

/** Bytes; 0 where it is not known. */
function memoryOf(node: NodeJson): number {
  return Number(node.memoryBytes);
}

function NodeRow({ node, hasMemory }: { readonly node: NodeJson; readonly hasMemory: boolean }) {
  const { nodeId, provider, taskCount, modelDigest } = node;
  const state = stateOf(node);
  const perStep = lastSecondsPerStep.value.get(nodeId) ?? 0;
  const busy = busyShare.value.get(nodeId);
  const model = models.value.find(({ digest }) => digest === modelDigest);
  const isDrained = node.refusal !== "" && node.refusal !== "stopping";
  const change = async () => {
    await api.drain(nodeId, !isDrained);
    notify("good", isDrained ? `${nodeId} may work again.` : `${nodeId} gets no new work.`);
  };
  return (
    <tr>
      <th scope="row" class="mono">
        {nodeId}
      </th>
      <td>
        <span class={`badge badge-${state.replace(" ", "-")}`}>{state}</span>
      </td>
      <td data-label="Provider">{provider || "–"}</td>
      {hasMemory && <td data-label="Memory">{memoryOf(node) > 0 ? bytes(memoryOf(node)) : "–"}</td>}
      <td data-label="Checkpoint">{model?.name ?? "–"}</td>
      <td class="cell-number" data-label="Tasks">
        {taskCount}
      </td>
      <td class="cell-number" data-label="A step">
        {perStep > 0 ? seconds(perStep) : "–"}
      </td>
      <td data-label="Busy lately">
        {busy === undefined ? (
          "–"
        ) : (
          <span class="busy">
            <span class="busy-bar" aria-hidden="true">
              <span style={{ width: `${busy * 100}%` }} />
            </span>
            {Math.round(busy * 100)} %
          </span>
        )}
      </td>
      <td class="cell-actions">
        <button
          type="button"
          class="button button-small"
          aria-label={`${isDrained ? "Undrain" : "Drain"} ${nodeId}`}
          onClick={() => void attempt(change)}
        >
          {isDrained ? "Undrain" : "Drain"}
        </button>
      </td>
    </tr>
  );
}

function stateOf({ connected, refusal, taskCount }: NodeJson): string {
  if (!connected) return "gone";
  if (refusal !== "") return refusal;
  return taskCount > 0 ? "busy" : "idle";
}
