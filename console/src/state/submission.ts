/** @file The form: pictures, parameters, and what the farm says of them before anything is sent. */
import { computed, effect, signal } from "@preact/signals";
import { ApiError, api, inputPath } from "../api/client.js";
import type { BlobRefJson, DryRunJson, JobJson } from "../api/types.js";
import { formatWord } from "../format.js";
import {
  FORMATS,
  type Format,
  LOOKS,
  type LookName,
  lookOnWire,
  PARAMETER_FIELDS,
  type Pair,
} from "../parameters.js";
import { announce } from "./announce.js";
import { models, put } from "./farm.js";
import { show } from "./route.js";

export interface Picture {
  readonly id: number;
  readonly name: string;
  /** Where it can be seen: an object URL, or a path of the farm. */
  readonly url: string;
  /** Null until it is uploaded. */
  readonly ref: BlobRefJson | null;
  /** Why it cannot be used; "" otherwise. */
  readonly problem: string;
}

/** A step of an earlier clip where this one begins. */
export interface Branch {
  readonly jobId: string;
  readonly clipIndex: number;
  readonly step: number;
}

export const pictures = signal<readonly Picture[]>([]);
/** Texts by diffusers' names; a name that is missing takes its default. */
export const values = signal<Readonly<Record<string, string>>>({});
export const formats = signal<readonly Format[]>(["mp4"]);
export const pair = signal<Pair>("auto");
/** Chosen words; what is missing is left to the farm. */
export const looks = signal<Readonly<Partial<Record<LookName, string>>>>({});
/** Whether nodes show what the clips look like on their way. */
export const wantsPreview = signal(true);
export const priority = signal("");
/** Local time of the browser, "2030-01-31T18:00"; "": none. */
export const deadline = signal("");
export const owner = signal("");
export const modelDigest = signal("");
export const latents = signal<{ readonly name: string; readonly ref: BlobRefJson } | null>(null);
export const branch = signal<Branch | null>(null);
export const isSending = signal(false);

/** What would become of the job now; null while it cannot be told. */
export const plan = signal<DryRunJson | null>(null);
/** By field; "" holds what belongs to none. */
export const problems = signal<Readonly<Record<string, string>>>({});

const PLAN_AFTER_MS = 350;
let nextId = 1;

export function setValue(name: string, text: string): void {
  const { [name]: _, ...rest } = values.value;
  values.value = text === "" ? rest : { ...rest, [name]: text };
}

/** Shows and uploads files; one that the farm does not take says so at its place. */
export async function addPictures(files: readonly File[]): Promise<void> {
  const added = files.map((file) => ({
    picture: {
      ...{ id: nextId++, name: file.name || "pasted picture", ref: null, problem: "" },
      url: URL.createObjectURL(file),
    } satisfies Picture,
    file,
  }));
  pictures.value = [...pictures.value, ...added.map(({ picture }) => picture)];
  for (const { picture, file } of added) {
    try {
      change(picture.id, { ref: (await api.upload(file)).blob });
    } catch (error) {
      change(picture.id, { problem: (error as Error).message });
    }
  }
}

function change(id: number, fields: Partial<Picture>): void {
  pictures.value = pictures.value.map((known) =>
    known.id === id ? { ...known, ...fields } : known,
  );
}

export function removePicture(id: number): void {
  const removed = pictures.value.find((picture) => picture.id === id);
  if (removed?.url.startsWith("blob:")) URL.revokeObjectURL(removed.url);
  pictures.value = pictures.value.filter((picture) => picture.id !== id);
}

export async function setLatents(file: File | null): Promise<void> {
  latents.value = file && { name: file.name, ref: (await api.upload(file)).blob };
}

const ready = computed(() => pictures.value.flatMap(({ ref }) => (ref ? [ref] : [])));
export const isUploading = computed(() =>
  pictures.value.some(({ ref, problem }) => ref === null && problem === ""),
);

function looksOnWire(): Record<string, unknown> {
  const chosen = Object.entries(looks.value) as [LookName, string][];
  return Object.fromEntries(
    chosen.map(([name, choice]) => {
      const word = lookOnWire(name, choice);
      return [name, name === "guidance" ? { kind: word } : word];
    }),
  );
}

/** The request as it is now. */
const body = computed(() => ({
  images: ready.value,
  modelDigest: modelDigest.value || (models.value.length > 1 ? models.value[0]?.digest : ""),
  parameters: {
    ...Object.fromEntries(
      PARAMETER_FIELDS.flatMap(({ name, json, kind }): [string, unknown][] => {
        const text = values.value[name]?.trim();
        if (text === undefined || text === "") return [];
        const list = text.split(/[\s,;]+/).filter((part) => part !== "");
        if (json === "seeds") return [[json, { values: list }]];
        return [[json, kind === "list" ? list : text]];
      }),
    ),
    ...looksOnWire(),
    ...(latents.value ? { latents: latents.value.ref } : {}),
    formats: formats.value.map((format) => `OUTPUT_FORMAT_${format.toUpperCase()}`),
    pair: `PAIR_POLICY_${pair.value.toUpperCase()}`,
  },
  options: {
    preview: wantsPreview.value,
    ...(priority.value === "" ? {} : { priority: priority.value }),
    ...(owner.value === "" ? {} : { owner: owner.value }),
    ...(deadline.value === "" ? {} : { deadlineTime: new Date(deadline.value).toISOString() }),
    ...(branch.value ? { branch: branch.value } : {}),
  },
}));

/** Asks the farm after every change what would become of the job, once the hand rests. */
export function planWhileTyping(): void {
  effect(() => {
    const asked = body.value;
    if (asked.images.length === 0) {
      plan.value = null;
      problems.value = {};
      return undefined;
    }
    const stop = new AbortController();
    const timer = setTimeout(() => void planNow(asked, stop.signal), PLAN_AFTER_MS);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  });
}

async function planNow(asked: object, signal: AbortSignal): Promise<void> {
  try {
    const { dryRun } = await api.planJob(asked, signal);
    plan.value = dryRun;
    problems.value = {};
  } catch (error) {
    if (signal.aborted) return;
    plan.value = null;
    problems.value = problemsOf(error);
  }
}

/** Sends the job; what is wrong with it is shown at its field, and the names of those are returned. */
export async function submit(): Promise<readonly string[]> {
  if (isSending.value) return [];
  isSending.value = true;
  try {
    const requestId = crypto.randomUUID();
    const { job } = await api.createJob({ ...body.value, requestId });
    put(job);
    announce("The job was accepted.");
    branch.value = null;
    show("queue");
    return [];
  } catch (error) {
    const found = problemsOf(error);
    problems.value = found;
    announce(`The job was refused: ${Object.values(found).join(" ")}`);
    return Object.keys(found);
  } finally {
    isSending.value = false;
  }
}

function problemsOf(error: unknown): Record<string, string> {
  const { message, violations } = error as ApiError;
  if (!(error instanceof ApiError) || violations.length === 0) return { "": message };
  const found: Record<string, string> = {};
  for (const { field, description } of violations) {
    const name = fieldOf(field);
    const text = name === "" ? `${field}: ${description}` : description;
    found[name] = found[name] === undefined ? text : `${found[name]} ${text}`;
  }
  return found;
}

/** "parameters.seeds.values[0]" -> "seed": the control that a violation belongs to; "" for none. */
function fieldOf(path: string): string {
  const inner = path.replace(/^(parameters|options)\./, "").replace(/[.[].*$/, "");
  const snake = inner.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  if (snake === "seeds") return "seed";
  const others = [
    "guidance",
    "fit",
    "preset",
    "schedule",
    "images",
    "formats",
    "pair",
    "priority",
    "owner",
    "deadline_time",
    "latents",
    "branch",
  ];
  const known = [...PARAMETER_FIELDS.map(({ name }) => name), ...others, "model_digest"];
  return known.includes(snake) ? snake : "";
}

/** Fills the form from an earlier job: the same again, or from a step of one of its clips. */
export async function fillFrom(job: JobJson, from: Branch | null, seed: string): Promise<void> {
  const { images } = await api.inputsOf(job.jobId);
  const clip = from ? job.clips[from.clipIndex] : undefined;
  const wanted = clip ? [clip.imageIndex] : images.map((_, i) => i);
  for (const { id } of pictures.value) removePicture(id);
  pictures.value = wanted.flatMap((index) => {
    const ref = images[index];
    const name = `picture ${index + 1} of ${job.jobId.slice(-6)}`;
    return ref ? [{ id: nextId++, name, ref, problem: "", url: inputPath(job.jobId, index) }] : [];
  });
  const parameters = job.parameters;
  const texts = PARAMETER_FIELDS.flatMap(({ name, json }): [string, string][] => {
    if (name === "seed") return seed === "" ? [] : [[name, seed]];
    if (from && name === "num_videos_per_prompt") return [];
    const value = parameters?.[json];
    if (value === undefined || (Array.isArray(value) && value.length === 0)) return [];
    return [[name, Array.isArray(value) ? value.join(", ") : String(value)]];
  });
  values.value = Object.fromEntries(texts);
  looks.value = Object.fromEntries(
    LOOKS.flatMap(({ name, choices }) => {
      const told = name === "guidance" ? parameters?.guidance?.kind : parameters?.[name];
      const choice = choices.find((word) => word !== "" && lookOnWire(name, word) === told);
      return choice === undefined || choice === choices[0] ? [] : [[name, choice]];
    }),
  );
  const chosen = (parameters?.formats ?? []).map(formatWord);
  formats.value = FORMATS.filter((format) => chosen.includes(format));
  const policy = parameters?.pair.replace("PAIR_POLICY_", "").toLowerCase();
  pair.value = policy === "always" || policy === "never" ? policy : "auto";
  modelDigest.value = job.modelDigest;
  latents.value = null;
  branch.value = from;
  show("submit");
}
