/** @file The form: pictures, parameters, and what the farm says of them before anything is sent. */
import { computed, effect, signal } from "@preact/signals";
import { api, inputPath } from "../api/client.js";
import type { BlobRefJson, DryRunJson, JobJson } from "../api/types.js";
import { formatWord } from "../format.js";
import {
  guidanceKindOf,
  guidanceOnWire,
  isSaidByGuidance,
  listOf,
  SCALES,
  scalesText,
} from "../guidance.js";
import { labelsOf, labelsOnWire, labelTexts } from "../labels.js";
import {
  clipOnWire,
  controlName,
  type OwnValues,
  ownValuesOf,
  parametersOf,
} from "../own-values.js";
import {
  FORMATS,
  type Format,
  LOOKS,
  type LookName,
  lookOnWire,
  PARAMETER_FIELDS,
  type Pair,
} from "../parameters.js";
import { problemOfFile } from "../picture-file.js";
import { announce } from "./announce.js";
import { models, put } from "./farm.js";
import { type Asked, type Problems, problemsOf } from "./problems.js";
import { show } from "./route.js";

export interface Picture {
  readonly id: number;
  readonly name: string;
  /** Where it can be seen: an object URL, or a path of the farm; "": nowhere. */
  readonly url: string;
  /** Null until it is uploaded. */
  readonly ref: BlobRefJson | null;
  /** Why it cannot be used; "" otherwise. */
  readonly problem: string;
  /** What its clip has of its own. */
  readonly own: OwnValues;
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
/** "shot=12a, team=blue". */
export const labels = signal("");
export const modelDigest = signal("");
export const chosenModel = computed(
  () => models.value.find(({ digest }) => digest === modelDigest.value) ?? models.value[0],
);
export const latents = signal<{ readonly name: string; readonly ref: BlobRefJson } | null>(null);
export const branch = signal<Branch | null>(null);
export const isSending = signal(false);

/** What would become of the job now; null while it cannot be told. */
export const plan = signal<DryRunJson | null>(null);
export const problems = signal<Problems>({});

const PLAN_AFTER_MS = 350;
let nextId = 1;

export function setValue(name: string, text: string): void {
  const { [name]: _, ...rest } = values.value;
  values.value = text === "" ? rest : { ...rest, [name]: text };
}

/** Shows and uploads files; one that the farm does not take says so at its place. */
export async function addPictures(files: readonly File[]): Promise<void> {
  const added = files.map((file) => ({
    id: nextId++,
    file,
    name: file.name || "pasted picture",
    url: URL.createObjectURL(file),
  }));
  // Shown once it is known to be a picture, and one that fits a screen.
  const entries = added.map(({ id, name }) => ({ id, name, url: "", ref: null, problem: "" }));
  pictures.value = [...pictures.value, ...entries.map((entry) => ({ ...entry, own: {} }))];
  for (const { id, file, name, url } of added) {
    const problem = await problemOfFile(file, url);
    if (problem !== "") {
      URL.revokeObjectURL(url);
      change(id, { problem });
      announce(`${name}: ${problem}`);
      continue;
    }
    change(id, { url });
    try {
      change(id, { ref: (await api.upload(file)).blob });
    } catch (error) {
      change(id, { problem: (error as Error).message });
    }
  }
}

function change(id: number, fields: Partial<Picture>): void {
  pictures.value = pictures.value.map((known) =>
    known.id === id ? { ...known, ...fields } : known,
  );
}

/** Sets one value of one picture's clip; "": as the form says. */
export function setOwnValue(id: number, name: string, text: string): void {
  const { [name]: _, ...rest } = pictures.value.find((known) => known.id === id)?.own ?? {};
  change(id, { own: text === "" ? rest : { ...rest, [name]: text } });
}

export function clearOwnValues(id: number): void {
  change(id, { own: {} });
}

export function removePicture(id: number): void {
  const removed = pictures.value.find((picture) => picture.id === id);
  if (removed?.url.startsWith("blob:")) URL.revokeObjectURL(removed.url);
  pictures.value = pictures.value.filter((picture) => picture.id !== id);
}

export async function setLatents(file: File | null): Promise<void> {
  latents.value = file && { name: file.name, ref: (await api.upload(file)).blob };
}

/** What a job of now is made from, in its order. */
const ready = computed(() => pictures.value.filter(({ ref }) => ref !== null));

/** Where the farm's words on the request of now belong. */
function askedNow(): Asked {
  const lists = ready.value.filter(({ own }) => own["guidance"] === "frames");
  return {
    pictureIds: ready.value.map(({ id }) => id),
    lists: [
      ...(looks.value.guidance === "frames" ? [SCALES] : []),
      ...lists.map(({ id }) => controlName(id, SCALES)),
    ],
  };
}

export const isUploading = computed(() =>
  pictures.value.some(({ ref, problem }) => ref === null && problem === ""),
);

function looksOnWire(): Record<string, unknown> {
  const chosen = Object.entries(looks.value) as [LookName, string][];
  return Object.fromEntries(
    chosen.map(([name, choice]) => {
      if (name !== "guidance") return [name, lookOnWire(name, choice)];
      return [name, guidanceOnWire(choice, values.value[SCALES])];
    }),
  );
}

/** None while all pictures are alike: then the noise of the whole batch is drawn as diffusers draws it. */
function clipsOnWire(): { clips?: readonly object[] } {
  const isAlike = ready.value.every(({ own }) => Object.keys(own).length === 0);
  return isAlike ? {} : { clips: ready.value.map(({ own }, i) => clipOnWire(own, i)) };
}

/** The request as it is now. */
const body = computed(() => ({
  images: ready.value.map(({ ref }) => ref),
  modelDigest: modelDigest.value || (models.value.length > 1 ? models.value[0]?.digest : ""),
  parameters: {
    ...Object.fromEntries(
      PARAMETER_FIELDS.flatMap(({ name, json, kind }): [string, unknown][] => {
        const text = values.value[name]?.trim();
        if (text === undefined || text === "") return [];
        if (json === "seeds") return [[json, { values: listOf(text) }]];
        return [[json, kind === "list" ? listOf(text) : text]];
      }),
    ),
    ...looksOnWire(),
    ...clipsOnWire(),
    ...(latents.value ? { latents: latents.value.ref } : {}),
    formats: formats.value.map((format) => `OUTPUT_FORMAT_${format.toUpperCase()}`),
    pair: `PAIR_POLICY_${pair.value.toUpperCase()}`,
  },
  options: {
    preview: wantsPreview.value,
    ...(priority.value === "" ? {} : { priority: priority.value }),
    ...(owner.value === "" ? {} : { owner: owner.value }),
    ...(labels.value.trim() === "" ? {} : { labels: labelsOnWire(labels.value) }),
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
  const place = askedNow();
  try {
    const { dryRun } = await api.planJob(asked, signal);
    plan.value = dryRun;
    problems.value = {};
  } catch (error) {
    if (signal.aborted) return;
    plan.value = null;
    problems.value = problemsOf(error, place);
  }
}

/** Sends the job; what is wrong with it is shown at its field, and the names of those are returned. */
export async function submit(): Promise<readonly string[]> {
  if (isSending.value) return [];
  isSending.value = true;
  const place = askedNow();
  try {
    const requestId = crypto.randomUUID();
    const { job } = await api.createJob({ ...body.value, requestId });
    put(job);
    announce("The job was accepted.");
    branch.value = null;
    show("queue");
    return [];
  } catch (error) {
    const found = problemsOf(error, place);
    problems.value = found;
    announce(`The job was refused: ${Object.values(found).join(" ")}`);
    return Object.keys(found);
  } finally {
    isSending.value = false;
  }
}

/** Fills the form from an earlier job: the same again, or from a step of one of its clips. */
export async function fillFrom(job: JobJson, from: Branch | null, seed: string): Promise<void> {
  const { images } = await api.inputsOf(job.jobId);
  const told = job.parameters?.clips ?? [];
  const indices = told.length > 0 ? told.map((clip) => clip.imageIndex ?? 0) : images.keys();
  const clip = from ? job.clips[from.clipIndex] : undefined;
  for (const { id } of pictures.value) removePicture(id);
  pictures.value = (clip ? [clip.imageIndex] : [...indices]).flatMap((index, i) => {
    const ref = images[index];
    if (!ref) return [];
    const name = `picture ${index + 1} of ${job.jobId.slice(-6)}`;
    const picture = { id: nextId++, name, ref, problem: "", url: inputPath(job.jobId, index) };
    return [{ ...picture, own: clip ? {} : ownOf(job, i, seed !== "") }];
  });
  const parameters = from ? parametersOf(job, from.clipIndex) : job.parameters;
  const kind = guidanceKindOf(parameters?.guidance);
  const texts = PARAMETER_FIELDS.flatMap(({ name, json }): [string, string][] => {
    if (name === "seed") return seed === "" ? [] : [[name, seed]];
    if (from && name === "num_videos_per_prompt") return [];
    const value = parameters?.[json];
    if (value === undefined || (Array.isArray(value) && value.length === 0)) return [];
    if (isSaidByGuidance(kind, name)) return [];
    return [[name, Array.isArray(value) ? value.join(", ") : String(value)]];
  });
  const scales = kind === "frames" ? [[SCALES, scalesText(parameters?.guidance)]] : [];
  values.value = Object.fromEntries([...texts, ...scales]);
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
  labels.value = labelTexts(labelsOf(job)).join(", ");
  latents.value = null;
  branch.value = from;
  show("submit");
}

/** What the clip had of its own; without its seed, which is then drawn anew, where that is not kept. */
function ownOf({ parameters }: JobJson, clipIndex: number, isSeedKept: boolean): OwnValues {
  const clip = parameters?.clips[clipIndex];
  if (!parameters || !clip) return {};
  const { seed, ...own } = ownValuesOf(clip, parameters);
  return isSeedKept && seed !== undefined ? { seed, ...own } : own;
}
