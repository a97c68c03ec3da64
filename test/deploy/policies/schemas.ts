/** @file What the schemas of Kubernetes and of the operators say of an object. */
import { createRequire } from "node:module";
import { type KubeObject, nameOf } from "../overlays.js";

const load = createRequire(import.meta.url);

interface Kind {
  readonly prototype: { validate(this: KubeObject): void };
}

const PACKAGE_OF_GROUP: Readonly<Record<string, string>> = {
  "keda.sh": "@kubernetes-models/keda",
  "monitoring.coreos.com": "@kubernetes-models/prometheus-operator",
  "cert-manager.io": "@kubernetes-models/cert-manager",
};

/** Every object is of a kind that there is, with the fields of that kind and no others. */
export function schemas(objects: readonly KubeObject[]): string[] {
  return objects.flatMap((object) =>
    problemsOf(object).map((problem) => `${nameOf(object)}: ${problem}`),
  );
}

function problemsOf(object: KubeObject): string[] {
  const { apiVersion, kind } = object;
  const [group = "", version = ""] = apiVersion.includes("/")
    ? apiVersion.split("/")
    : ["", apiVersion];
  const folder = group === "" ? version : `${group}/${version}`;
  const from = PACKAGE_OF_GROUP[group] ?? "kubernetes-models";
  const { watched, unasked } = watch(object);
  try {
    const kinds = load(`${from}/${folder}`) as Readonly<Record<string, Kind>>;
    if (!kinds[kind]) return [`${apiVersion} has no such kind`];
    kinds[kind].prototype.validate.call(watched);
  } catch (error) {
    return [(error as Error).message];
  }
  return unasked().map((path) => `there is no field ${path}`);
}

/**
 * The validators come compiled, and let fields pass that a schema does not have. But they ask for every
 * field that it has: so whoever is asked for some of its fields must have no others.
 */
function watch(object: KubeObject): { watched: KubeObject; unasked: () => string[] } {
  const asked = new Map<object, Set<string>>();
  const wrap = <T extends object>(value: T): T =>
    new Proxy(value, {
      get(target, key, receiver) {
        if (typeof key === "string") {
          if (!asked.has(target)) asked.set(target, new Set());
          asked.get(target)!.add(key);
        }
        const found: unknown = Reflect.get(target, key, receiver);
        return typeof found === "object" && found !== null ? wrap(found) : found;
      },
    });
  const unaskedOf = (value: unknown, path: string): string[] => {
    if (typeof value !== "object" || value === null || !asked.has(value)) return [];
    return Object.entries(value).flatMap(([key, inner]) => {
      const at = path === "" ? key : `${path}.${key}`;
      return asked.get(value)!.has(key) ? unaskedOf(inner, at) : [at];
    });
  };
  return { watched: wrap(object), unasked: () => unaskedOf(object, "") };
}
