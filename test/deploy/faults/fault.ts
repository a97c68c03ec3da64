/** @file A fault that an overlay must not have, with the policy that finds it and the words for it. */
import type { Overlay } from "../overlays.js";
import type { PolicyName } from "../policies/policies.js";

// biome-ignore lint/suspicious/noExplicitAny: objects are changed by path, into what no type allows
type Objects = any[];

export interface Fault {
  readonly policy: PolicyName;
  readonly fault: string;
  readonly overlay: Overlay;
  readonly plant: (objects: Objects) => void;
  /** Every problem that is found. */
  readonly says: RegExp;
}

/** @throws Error when there is no such object: a fault that changes nothing would prove nothing */
export function get(objects: Objects, kind: string, name: string) {
  const found = objects.find(
    (o) => o.kind === kind && (o.metadata.name === name || o.metadata.name.startsWith(`${name}-`)),
  );
  if (!found) throw new Error(`there is no ${kind} ${name} to plant a fault in`);
  return found;
}
export const pod = (objects: Objects, name: string) =>
  get(objects, "StatefulSet", name).spec.template.spec;
export const main = (objects: Objects, name: string) => pod(objects, name).containers[0];
export const map = (objects: Objects, name: string) => get(objects, "ConfigMap", name).data;
export const policy = (objects: Objects, name: string) => get(objects, "NetworkPolicy", name).spec;
// biome-ignore lint/suspicious/noExplicitAny: as above
const rulesOf = (group: any) => group.rules;
export const alert = (objects: Objects, name: string) =>
  get(objects, "PrometheusRule", "renderfarm")
    .spec.groups.flatMap(rulesOf)
    .find((rule: { alert?: string }) => rule.alert === name);
export const remove = (objects: Objects, kind: string, name: string) =>
  objects.splice(objects.indexOf(get(objects, kind, name)), 1);

/** Rows of one policy: what is wrong, the words for it, how it is done, where. */
export function faultsOf(
  name: PolicyName,
  overlay: Overlay,
  rows: readonly (readonly [fault: string, says: RegExp, plant: (o: Objects) => void])[],
): Fault[] {
  return rows.map(([fault, says, plant]) => ({ policy: name, fault, overlay, plant, says }));
}
