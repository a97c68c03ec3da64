/** @file One job: what it is, how far each clip is, and what can be done with it. */
import { useState } from "preact/hooks";
import { api, type JobVerb } from "../api/client.js";
import type { JobJson } from "../api/types.js";
import { ago, between, isEnded, plural, seconds, shortId, stateWord } from "../format.js";
import { attempt, notify } from "../state/announce.js";
import { now } from "../state/clock.js";
import { put, remove } from "../state/farm.js";
import { fillFrom } from "../state/submission.js";
import { ClipRow } from "./clip-row.js";
import { Icon, type IconName } from "./icon.js";
import { JobLabels } from "./labels.js";

/** Clips that a card shows before somebody asks for all of them. */
const CLIPS_SHOWN = 6;

export function JobCard({ job }: { readonly job: JobJson }) {
  const [showsAll, setShowsAll] = useState(false);
  const word = stateWord(job.state);
  const hidden = showsAll ? 0 : Math.max(0, job.clips.length - CLIPS_SHOWN);
  return (
    <article class={`job job-${word}`} aria-label={`Job ${shortId(job.jobId)}, ${word}`}>
      <header class="job-head">
        <span class={`badge badge-${word}`}>{word}</span>
        <span class="mono job-id" title={job.jobId}>
          {shortId(job.jobId)}
        </span>
        <span class="muted job-facts">{factsOf(job).join(" · ")}</span>
        <JobActions job={job} />
      </header>
      <JobLabels job={job} />
      <ul class="clips">
        {job.clips.slice(0, job.clips.length - hidden).map((clip) => (
          <ClipRow key={clip.index} job={job} clip={clip} />
        ))}
      </ul>
      {hidden > 0 && (
        <button type="button" class="button button-small" onClick={() => setShowsAll(true)}>
          {plural(hidden, "more clip")}
        </button>
      )}
    </article>
  );
}

function factsOf(job: JobJson): string[] {
  const { parameters, waitsFor, whyNotNow, options, clips } = job;
  const took = between(job.startTime, job.endTime);
  return [
    `${parameters?.width}×${parameters?.height}, ${plural(parameters?.numFrames ?? 0, "frame")}`,
    ...(clips.length > 1 ? [plural(clips.length, "clip")] : []),
    ...(isEnded(job.state) ? [] : [`priority ${options?.priority ?? 50}`]),
    ...(waitsFor.length > 0 ? [`waits for ${plural(waitsFor.length, "job")}`] : []),
    ...(waitsFor.length > 0 || job.state === "JOB_STATE_PAUSED" ? [] : whyNotNow),
    ...(options?.deadlineTime && !isEnded(job.state)
      ? [`expires at ${new Date(options.deadlineTime).toLocaleString()}`]
      : []),
    ...(options?.owner && options.owner !== "local" ? [options.owner] : []),
    took === null ? ago(job.createTime, now.value) : `took ${seconds(took)}`,
    ...(took === null ? [] : [ago(job.endTime, now.value)]),
  ];
}

function JobActions({ job }: { readonly job: JobJson }) {
  const { jobId } = job;
  const word = stateWord(job.state);
  const verb = (name: JobVerb) => async () => put((await api.verb(jobId, name)).job);
  const move = (by: number) => async () => {
    const priority = Math.min(100, Math.max(0, (job.options?.priority ?? 50) + by));
    put((await api.setPriority(jobId, priority)).job);
  };
  const forget = async () => {
    await api.deleteJob(jobId);
    remove(jobId);
    notify("good", `Job ${shortId(jobId)} and its files are deleted.`);
  };
  if (isEnded(job.state)) {
    return (
      <div class="job-actions">
        {word !== "succeeded" && <Action icon="retry" label="Retry" onClick={verb("retry")} />}
        <Action icon="again" label="Use its settings" onClick={() => fillFrom(job, null, "")} />
        <Action icon="delete" label="Delete" onClick={forget} />
      </div>
    );
  }
  return (
    <div class="job-actions">
      <Action icon="up" label="Raise its priority" onClick={move(10)} />
      <Action icon="down" label="Lower its priority" onClick={move(-10)} />
      {word === "paused" ? (
        <Action icon="resume" label="Resume" onClick={verb("resume")} />
      ) : (
        <Action icon="pause" label="Pause" onClick={verb("pause")} />
      )}
      <Action icon="cancel" label="Cancel" onClick={verb("cancel")} />
    </div>
  );
}

interface ActionProps {
  readonly icon: IconName;
  readonly label: string;
  readonly onClick: () => Promise<unknown>;
}

function Action({ icon, label, onClick }: ActionProps) {
  return (
    <button
      type="button"
      class="icon-button"
      aria-label={label}
      title={label}
      onClick={() => void attempt(onClick)}
    >
      <Icon name={icon} />
    </button>
  );
}
