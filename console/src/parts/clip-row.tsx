/** @file One clip on its way: its picture, the track of its stages, and who works on it. */
import { inputPath, outputPath } from "../api/client.js";
import type { ClipJson, JobJson } from "../api/types.js";
import { denoiseLeft, formatWord, plural, seconds, stateWord } from "../format.js";
import { attempt } from "../state/announce.js";
import { previewOf } from "../state/previews.js";
import { download, Picture } from "./media.js";

/** How far a stage is, 0 to 1. */
interface StageShare {
  readonly stage: "condition" | "denoise" | "decode" | "mux";
  readonly label: string;
  readonly share: number;
}

export function ClipRow({ job, clip }: { readonly job: JobJson; readonly clip: ClipJson }) {
  const shares = stagesOf(clip);
  const word = stateWord(clip.state);
  const text = progressText(clip);
  return (
    <li class={`clip clip-${word}`}>
      <div class="clip-picture">
        <Picture path={inputPath(job.jobId, clip.imageIndex)} alt="" />
      </div>
      <div class="clip-body">
        <Track
          shares={shares}
          label={`Clip ${clip.index + 1} of job ${job.jobId.slice(-6)}`}
          text={text}
        />
        <p class="clip-line">
          <span class="clip-text">{text}</span>
          <span class="muted">{whoWorks(clip)}</span>
        </p>
        <PreviewStrip job={job} clip={clip} />
        {clip.errorDetail !== "" && (
          <p class="problem">
            {clip.errorCode}: {clip.errorDetail}
          </p>
        )}
        <OutputChips job={job} clip={clip} />
      </div>
    </li>
  );
}

/** Some frames as they are now; the eye sees where the clip goes long before it is decoded. */
function PreviewStrip({ job, clip }: { readonly job: JobJson; readonly clip: ClipJson }) {
  const preview = previewOf(job.jobId, clip.index);
  if (!preview || clip.state !== "JOB_STATE_RUNNING") return null;
  const alt = `Some frames after step ${preview.step}`;
  return <img class="preview" src={preview.url} alt={alt} title={alt} />;
}

function Track(props: {
  readonly shares: readonly StageShare[];
  readonly label: string;
  readonly text: string;
}) {
  const whole = props.shares.reduce((sum, { stage, share }) => sum + WEIGHTS[stage] * share, 0);
  return (
    <div
      class="track"
      role="progressbar"
      aria-label={props.label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.round(whole * 100)}
      aria-valuetext={props.text}
    >
      {props.shares.map(({ stage, label, share }) => (
        <span key={stage} class={`track-stage track-${stage}`} title={label}>
          <span class="track-fill" style={{ width: `${share * 100}%` }} />
        </span>
      ))}
    </div>
  );
}

/** Of the whole work, roughly: what the bar of a clip is divided by. */
const WEIGHTS = { condition: 0.06, denoise: 0.68, decode: 0.2, mux: 0.06 } as const;

function stagesOf(clip: ClipJson): StageShare[] {
  const has = (stage: string) => clip.stages.some((report) => report.stage === `STAGE_${stage}`);
  const isDone = clip.state === "JOB_STATE_SUCCEEDED";
  const steps = clip.stepsTotal === 0 ? 0 : clip.stepsDone / clip.stepsTotal;
  const chunks = clip.chunksTotal === 0 ? 0 : clip.chunksDone / clip.chunksTotal;
  return [
    { stage: "condition", label: "condition", share: isDone || has("DENOISE") ? 1 : 0 },
    {
      ...{ stage: "denoise", share: steps },
      label: `denoise, step ${clip.stepsDone} of ${clip.stepsTotal}`,
    },
    {
      ...{ stage: "decode", share: chunks },
      label: `decode, chunk ${clip.chunksDone} of ${clip.chunksTotal}`,
    },
    { stage: "mux", label: "mux", share: isDone ? 1 : 0 },
  ];
}

function progressText(clip: ClipJson): string {
  const word = stateWord(clip.state);
  if (word === "succeeded") {
    const took = clip.stages.reduce((sum, report) => sum + report.seconds, 0);
    const perStep = clip.secondsPerStep > 0 ? `, ${seconds(clip.secondsPerStep)} a step` : "";
    return `${plural(clip.stepsTotal, "step")} in ${seconds(took)}${perStep}`;
  }
  if (word !== "running") return word;
  const stages = clip.stages.map(({ stage }) => stage);
  if (stages.includes("STAGE_MUX")) return "writing files";
  if (stages.includes("STAGE_DECODE")) return `decode ${clip.chunksDone}/${clip.chunksTotal}`;
  if (!stages.includes("STAGE_DENOISE")) return "reading the picture";
  const left = denoiseLeft(clip);
  const eta = left === null ? "" : `, ${seconds(left)} left`;
  return `step ${clip.stepsDone}/${clip.stepsTotal}${eta}`;
}

/** The nodes of the latest stage, and how they share it. */
function whoWorks(clip: ClipJson): string {
  const latest = clip.stages.at(-1);
  if (!latest) return "";
  if (clip.state === "JOB_STATE_SUCCEEDED") {
    const nodes = [...new Set(clip.stages.flatMap(({ nodeIds }) => nodeIds))];
    return `${clip.plan} on ${nodes.join(", ")}`;
  }
  const how = latest.stage === "STAGE_DENOISE" && clip.plan !== "" ? `${clip.plan}: ` : "";
  const pace = clip.secondsPerStep > 0 ? ` · ${seconds(clip.secondsPerStep)} a step` : "";
  return `${how}${latest.nodeIds.join(" + ")}${pace}`;
}

function OutputChips({ job, clip }: { readonly job: JobJson; readonly clip: ClipJson }) {
  const outputs = clip.outputs.filter(({ fileName }) => !/^frame-\d+/.test(fileName));
  if (outputs.length === 0) return null;
  return (
    <p class="chips">
      {outputs.map(({ fileName, format }) => {
        const path = outputPath(job.jobId, clip.index, fileName);
        return (
          <button
            key={fileName}
            type="button"
            class="button button-small"
            onClick={() => void attempt(() => download(path, fileName))}
          >
            {fileName.endsWith(".json") ? "json" : formatWord(format)}
          </button>
        );
      })}
    </p>
  );
}
