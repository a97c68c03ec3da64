/** @file What a finished clip is shown with: its player, its files, and how to go on from it. */
import { useRef, useState } from "preact/hooks";
import { outputPath } from "../api/client.js";
import type { ClipJson, JobJson, ParametersJson } from "../api/types.js";
import { bytes, formatWord } from "../format.js";
import { parametersOf } from "../own-values.js";
import { attempt } from "../state/announce.js";
import { fillFrom } from "../state/submission.js";
import { Icon } from "./icon.js";
import { download, useMedia } from "./media.js";

export interface ClipProps {
  readonly job: JobJson;
  readonly clip: ClipJson;
}

interface PlayerProps extends ClipProps {
  readonly name: string;
  /** With the browser's own controls, and playing at once. */
  readonly isLarge?: boolean;
}

/** The best that a browser can show of a clip; frames and tensors can only be downloaded. */
export function ClipPlayer({ job, clip, name, isLarge = false }: PlayerProps) {
  const shown = ["mp4", "webp", "gif", "png"]
    .map((extension) => clip.outputs.find(({ fileName }) => fileName.endsWith(`.${extension}`)))
    .find((output) => output !== undefined);
  const url = useMedia(shown ? outputPath(job.jobId, clip.index, shown.fileName) : "");
  if (!shown || url === "") return <div class="clip-media clip-none">no preview</div>;
  if (!shown.fileName.endsWith(".mp4")) return <img class="clip-media" src={url} alt={name} />;
  if (!isLarge) return <SmallVideo url={url} name={name} />;
  const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  return (
    <video
      class="clip-media"
      src={url}
      aria-label={name}
      controls
      loop
      muted
      playsInline
      autoplay={!isCalm}
    />
  );
}

/** One button in place of controls that would cover a small picture. */
function SmallVideo({ url, name }: { readonly url: string; readonly name: string }) {
  const video = useRef<HTMLVideoElement>(null);
  const [isPlaying, setPlaying] = useState(false);
  const toggle = () => (isPlaying ? video.current?.pause() : void attempt(play));
  const play = async () => video.current?.play();
  return (
    <>
      <video
        ref={video}
        class="clip-media"
        src={url}
        aria-label={name}
        loop
        muted
        playsInline
        onPlay={() => setPlaying(true)}
        onPause={() => setPlaying(false)}
      />
      <button
        type="button"
        class="icon-button clip-button clip-play"
        aria-label={`${isPlaying ? "Pause" : "Play"} ${name}`}
        onClick={toggle}
      >
        <Icon name={isPlaying ? "pause" : "play"} />
      </button>
    </>
  );
}

export function ClipActions({ job, clip }: ClipProps) {
  const seedText = (of: ParametersJson | undefined) => (of?.seeds?.values ?? []).join(", ");
  const seed = seedText(job.parameters);
  const branchAt = (step: number) => {
    const from = { jobId: job.jobId, clipIndex: clip.index, step };
    return fillFrom(job, from, seedText(parametersOf(job, clip.index)));
  };
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
                Branch…
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
