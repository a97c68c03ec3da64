/** @file Finished clips, the newest first. */
import { useState } from "preact/hooks";
import type { ClipJson, JobJson } from "../api/types.js";
import { ClipCard } from "../parts/clip-card.js";
import { EmptyState } from "../parts/empty-state.js";
import { LabelFilter } from "../parts/labels.js";
import { attempt } from "../state/announce.js";
import { jobList } from "../state/farm.js";
import { hasOlder, isShown, listOlderShown, selector } from "../state/filter.js";

/** Clips that are shown at once: each is a video that loads. */
const PAGE = 24;

export interface FinishedClip {
  readonly job: JobJson;
  readonly clip: ClipJson;
}

export function GalleryView() {
  const [shown, setShown] = useState(PAGE);
  const all: FinishedClip[] = jobList.value
    .filter(isShown)
    .flatMap((job) =>
      job.clips.filter(({ outputs }) => outputs.length > 0).map((clip) => ({ job, clip })),
    );
  const more = () => {
    setShown(shown + PAGE);
    return all.length <= shown + PAGE && hasOlder.value ? listOlderShown() : Promise.resolve();
  };
  return (
    <section class="view" aria-labelledby="gallery-title">
      <h1 id="gallery-title" class="view-title">
        Gallery
      </h1>
      <LabelFilter />
      {all.length === 0 && selector.value !== "" && (
        <p class="quiet">No finished clip here has these labels.</p>
      )}
      {all.length === 0 && selector.value === "" && (
        <EmptyState
          title="No clip is finished yet"
          text="Finished clips come here by themselves: play them, download them, go on from them."
          action={{ href: "#submit", label: "New clip" }}
        />
      )}
      <div class="gallery">
        {all.slice(0, shown).map(({ job, clip }) => (
          <ClipCard key={`${job.jobId}-${clip.index}`} job={job} clip={clip} />
        ))}
      </div>
      {(all.length > shown || (all.length > 0 && hasOlder.value)) && (
        <button type="button" class="button" onClick={() => void attempt(more)}>
          More clips
        </button>
      )}
    </section>
  );
}
