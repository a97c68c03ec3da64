/** @file What a finished clip is shown with: its player, its files, and how to go on from it. */
import { outputPath } from "../api/client.js";
import type { ClipJson, JobJson } from "../api/types.js";
import { bytes, formatWord } from "../format.js";
import { attempt } from "../state/announce.js";
import { fillFrom } from "../state/submission.js";
import { Icon } from "./icon.js";
import { download, useMedia } from "./media.js";

export interface ClipProps {
  readonly job: JobJson;
  readonly clip: ClipJson;
}

/** The best that a browser can show of a clip; frames and tensors can only be downloaded. */
export function ClipPlayer({ job, clip, name }: ClipProps & { readonly name: string }) {
  const shown = ["mp4", "webp", "gif", "png"]
    .map((extension) => clip.outputs.find(({ fileName }) => fileName.endsWith(`.${extension}`)))
    .find((output) => output !== undefined);
  const url = useMedia(shown ? outputPath(job.jobId, clip.index, shown.fileName) : "");
  const isTiny = (job.parameters?.width ?? 0) < 160;
  const style = isTiny ? "clip-media clip-media-tiny" : "clip-media";
  if (!shown || url === "") return <div class="clip-media clip-none">no preview</div>;
  if (!shown.fileName.endsWith(".mp4")) return <img class={style} src={url} alt={name} />;
  return <video class={style} src={url} aria-label={name} controls loop muted playsInline />;
}

export function ClipActions({ job, clip }: ClipProps) {
  const seed = (job.parameters?.seeds?.values ?? []).join(", ");
  const branchAt = (step: number) =>
    fillFrom(job, { jobId: job.jobId, clipIndex: clip.index, step }, seed);
  return (
    <div class="clip-actions">
      <div class="chips">
        {clip.outputs
          .filter(({ fileName }) => !/^frame-(?!001\.)/.test(fileName))
          .map(({ fileName, format, blob }) => (
            <button
              key={fileName}
              type="button"
              class="button button-small"
              title={`Download ${fileName}`}
              onClick={() =>
                void attempt(() => download(outputPath(job.jobId, clip.index, fileName), fileName))
              }
            >
              <Icon name="download" />
              {fileName.endsWith(".json") ? "json" : formatWord(format)}
              <span class="muted">{bytes(Number(blob?.size ?? 0))}</span>
            </button>
          ))}
      </div>
      <div class="clip-next">
        <button
          type="button"
          class="button button-small"
          onClick={() => void attempt(() => fillFrom(job, null, seed))}
        >
          <Icon name="again" />
          Again with this seed
        </button>
        {clip.stepsKept.length > 0 && (
          <label class="branch-choice">
            <Icon name="branch" />
            <span class="visually-hidden">Branch from step</span>
            <select
              value=""
              onChange={(event) => {
                const step = Number(event.currentTarget.value);
                event.currentTarget.value = "";
                void attempt(() => branchAt(step));
              }}
            >
              <option value="" disabled>
                Branch from…
              </option>
              {clip.stepsKept.map((step) => (
                <option key={step} value={step}>
                  step {step}
                </option>
              ))}
            </select>
          </label>
        )}
      </div>
    </div>
  );
}
