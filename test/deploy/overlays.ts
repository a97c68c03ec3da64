/** @file The overlays of deploy/k8s as kustomize renders them, and what the tests ask of their objects. */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseAllDocuments } from "yaml";
import { serverPath } from "../servers/server-path.js";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Those that are shipped, and one for the component that none of them takes. */
const FOLDERS = {
  "local-cpu": "deploy/k8s/overlays/local-cpu",
  "nvidia-gpu": "deploy/k8s/overlays/nvidia-gpu",
  production: "deploy/k8s/overlays/production",
  "image-volume": "test/deploy/image-volume",
} as const;
export type Overlay = keyof typeof FOLDERS;
export const OVERLAYS = Object.keys(FOLDERS) as Overlay[];

/** Any object of Kubernetes; tests look at it by path. */
export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
  // biome-ignore lint/suspicious/noExplicitAny: objects of many kinds, validated against their schemas
  readonly [field: string]: any;
}

export interface Variable {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: { readonly fieldRef?: { readonly fieldPath: string } };
}

export interface Container {
  readonly name: string;
  readonly image: string;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly env?: readonly Variable[];
  readonly envFrom?: readonly { readonly configMapRef: { readonly name: string } }[];
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[];
  readonly volumeMounts?: readonly {
    readonly name: string;
    readonly mountPath: string;
    readonly subPath?: string;
    readonly subPathExpr?: string;
  }[];
  // biome-ignore lint/suspicious/noExplicitAny: the rest is looked at by path
  readonly [field: string]: any;
}

/** Null where kustomize cannot be had; said once on stderr, or thrown where servers are required. */
export async function renderOverlays(): Promise<ReadonlyMap<Overlay, KubeObject[]> | null> {
  const kustomize = await serverPath("kustomize");
  if (kustomize === null) return null;
  return new Map(OVERLAYS.map((overlay) => [overlay, render(kustomize, FOLDERS[overlay])]));
}

/** The pod that fills the claim of checkpoints; null as above. */
export async function renderFiller(): Promise<KubeObject | null> {
  const kustomize = await serverPath("kustomize");
  return kustomize === null ? null : render(kustomize, "deploy/k8s/fill-models")[0]!;
}

function render(kustomize: string, folder: string): KubeObject[] {
  const text = execFileSync(kustomize, ["build", join(root, folder)], { encoding: "utf8" });
  return parseAllDocuments(text).map((document) => {
    const [problem] = document.errors;
    if (problem) throw new Error(`${folder}: ${problem.message}`);
    return document.toJS() as KubeObject;
  });
}

export function ofKind(objects: readonly KubeObject[], kind: string): KubeObject[] {
  return objects.filter((object) => object.kind === kind);
}

export function workloadsOf(objects: readonly KubeObject[]): KubeObject[] {
  return objects.filter(({ kind }) => kind === "StatefulSet" || kind === "Deployment");
}

/** Of the pods that a workload makes. */
export function podLabelsOf(workload: KubeObject): Readonly<Record<string, string>> {
  return workload["spec"].template.metadata.labels;
}

/** Whether a selector's matchLabels choose who has these labels; {} chooses all. */
export function matches(
  selector: Readonly<Record<string, string>> = {},
  labels: Readonly<Record<string, string>> = {},
): boolean {
  return Object.entries(selector).every(([name, value]) => labels[name] === value);
}

/** "StatefulSet node-denoise". */
export function nameOf({ kind, metadata }: KubeObject): string {
  return `${kind} ${metadata.name}`;
}

/** Every container of a workload, those that run before it first. */
export function containersOf(workload: KubeObject): Container[] {
  const { initContainers = [], containers = [] } = workload["spec"].template.spec;
  return [...initContainers, ...containers];
}

/** The environment of a container with everything that ConfigMaps put into it. */
export function environmentOf(
  container: Container,
  objects: readonly KubeObject[],
): Map<string, Variable> {
  const variables = new Map<string, Variable>();
  for (const { configMapRef } of container.envFrom ?? []) {
    const map = objects.find(
      (o) => o.kind === "ConfigMap" && o.metadata.name === configMapRef.name,
    );
    for (const [name, value] of Object.entries<string>(map?.["data"] ?? {})) {
      variables.set(name, { name, value });
    }
  }
  for (const variable of container.env ?? []) variables.set(variable.name, variable);
  return variables;
}
