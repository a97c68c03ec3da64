/** @file Nothing that has to stay secret is in the tree. */
import {
  containersOf,
  environmentOf,
  type KubeObject,
  nameOf,
  ofKind,
  workloadsOf,
} from "../overlays.js";

/** A private key, the seed of an nkey, a key of the API. */
const SECRET_TEXT =
  /-----BEGIN [A-Z ]*PRIVATE KEY-----|\bS[UAO][A-Z2-7]{56}\b|\brf_[A-Za-z0-9_-]{20,}/;
const SECRET_NAME = /(ACCESS_KEY|SECRET_KEY|SEED|TOKEN|PASSWORD)$/;

/** Secrets are made by a script, settings name the files they are in, and no text looks like one. */
export function secrets(objects: readonly KubeObject[]): string[] {
  const variables = workloadsOf(objects).flatMap((workload) =>
    containersOf(workload).flatMap((container) =>
      [...environmentOf(container, objects).values()]
        .filter(({ name, value }) => SECRET_NAME.test(name) && value !== undefined)
        .map(({ name }) => `${nameOf(workload)} ${container.name}: ${name} is in the open`),
    ),
  );
  return [
    ...ofKind(objects, "Secret").map((secret) => `${nameOf(secret)}: is in the tree`),
    ...variables,
    ...objects
      .filter((object) => SECRET_TEXT.test(JSON.stringify(object)))
      .map((object) => `${nameOf(object)}: holds what looks like a key`),
  ];
}
