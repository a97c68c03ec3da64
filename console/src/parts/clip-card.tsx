/** @file One finished clip of the gallery. */
import { useRef } from "preact/hooks";
import { seedOf, shortId } from "../format.js";
import { parametersOf } from "../own-values.js";
import { ClipDialog } from "./clip-dialog.js";
import { ClipActions, ClipPlayer, type ClipProps } from "./clip-parts.js";
import { Icon } from "./icon.js";
import { JobLabels } from "./labels.js";

export function ClipCard({ job, clip }: ClipProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const parameters = parametersOf(job, clip.index);
  const seed = seedOf(parameters, clip.index);
  const name = `clip ${clip.index + 1} of job ${shortId(job.jobId)}`;
  return (
    <article class="clip-card" aria-label={name}>
      <div class="clip-frame">
        <ClipPlayer job={job} clip={clip} name={name} />
        <button
          type="button"
          class="icon-button clip-button clip-expand"
          aria-label={`Look at ${name} closely`}
          title="Look closely"
          onClick={() => dialog.current?.showModal()}
        >
          <Icon name="expand" />
        </button>
      </div>
      <p class="clip-caption">
        <span class="mono" title={`seed ${seed}`}>
          seed {seed}
        </span>
        <span class="muted">
          {clip.stepsTotal} steps · {parameters?.fps} fps
          {(parameters?.cacheInterval ?? 1) > 1 &&
            ` · lossy: whole every ${parameters?.cacheInterval} steps`}
        </span>
      </p>
      <JobLabels job={job} />
      <ClipActions job={job} clip={clip} />
      <ClipDialog dialog={dialog} job={job} clip={clip} name={name} />
    </article>
  );
}
