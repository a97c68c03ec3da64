/** Every setting of a rendered overlay goes through the reader of the program that gets it. */
import { describe, expect, test } from "vitest";
import { readSettings as readCoordinator } from "../../coordinator/settings.js";
import { readSettings as readNode } from "../../gpu-node/agent/settings.js";
import { readFetchSettings } from "../../gpu-node/checkpoint/fetch-settings.js";
import {
  type Container,
  containersOf,
  environmentOf,
  type KubeObject,
  nameOf,
  OVERLAYS,
  renderOverlays,
} from "./overlays.js";

type Environment = Record<string, string>;
/** Reads settings, and throws where one of them is wrong. */
const READERS: Readonly<Record<string, (args: string[], env: Environment) => unknown>> = {
  "dist/coordinator/main.js": readCoordinator,
  "dist/gpu-node/main.js": readNode,
  "dist/gpu-node/fetch-checkpoint.js": readFetchSettings,
};
/** What the kubelet knows of a pod. */
const FIELDS: Readonly<Record<string, string>> = {
  "metadata.name": "node-any-0",
  "status.podIP": "10.0.0.7",
};

/** As the kubelet would set it; files of secrets are of this machine, not of a reader. */
function environment(container: Container, objects: KubeObject[]): Environment {
  const env: Environment = {};
  for (const [name, { value, valueFrom }] of environmentOf(container, objects)) {
    const text = valueFrom ? FIELDS[valueFrom.fieldRef?.fieldPath ?? ""] : value;
    if (text === undefined) throw new Error(`${name} is a field that no kubelet knows`);
    env[name] = text.replace(/\$\((\w+)\)/g, (_, other: string) => env[other] ?? "");
  }
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.endsWith("_FILE")));
}

const rendered = await renderOverlays();

describe.skipIf(rendered === null).each([...OVERLAYS])("overlay %s", (overlay) => {
  const objects = rendered?.get(overlay) ?? [];
  const ours = objects
    .filter(({ kind }) => kind === "StatefulSet")
    .flatMap((workload) => containersOf(workload).map((c) => [nameOf(workload), c] as const))
    .filter(([, { image }]) => image.startsWith("renderfarm/"))
    .map(([name, container]) => {
      const read = READERS[container.command?.[1] ?? ""];
      if (!read) throw new Error(`${name}: ${container.name} starts no program of ours`);
      return { name: `${name}: ${container.name}`, container, read };
    });

  test("runs coordinators and nodes", () => {
    expect(ours.map(({ read }) => read)).toEqual(
      expect.arrayContaining([readCoordinator, readNode]),
    );
  });

  test.each(ours)("$name is told what its program takes", ({ container, read }) => {
    const args = [...(container.command ?? []).slice(2), ...(container.args ?? [])];
    expect(read(args, environment(container, objects))).not.toBeNull();
  });

  test.each(ours)("$name would be refused with a setting that is wrong", ({ container, read }) => {
    const env = environment(container, objects);
    const addresses = Object.keys(env).filter((name) => /JOURNAL|BLOBS|METRICS|FROM/.test(name));
    expect(addresses.length).toBeGreaterThan(0);
    for (const name of addresses) {
      expect(() => read([], { ...env, [name]: "no address" }), name).toThrow("[invalid-argument]");
    }
    expect(() => read(["--no-such-flag"], env)).toThrow(/no-such-flag/);
  });
});
