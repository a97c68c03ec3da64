/** @file What is being made now, and what ended lately. */

import { EmptyState } from "../parts/empty-state.js";
import { JobCard } from "../parts/job-card.js";
import { LabelFilter } from "../parts/labels.js";
import { attempt } from "../state/announce.js";
import { connection, endedJobs, jobs, openJobs } from "../state/farm.js";
import { hasOlder, isShown, listOlderShown, selector } from "../state/filter.js";

export function QueueView() {
  return (
    <section class="view" aria-labelledby="queue-title">
      <h1 id="queue-title" class="view-title">
        Queue
      </h1>
      <QueueContent />
    </section>
  );
}

function QueueContent() {
  if (jobs.value === null) {
    return connection.value === "refused" ? (
      <EmptyState title="This farm wants an API key" text="Give it with the key at the top." />
    ) : (
      <p class="muted">Asking the farm…</p>
    );
  }
  if (jobs.value.size === 0) {
    return (
      <EmptyState
        title="Nothing was rendered here yet"
        text="Drop a picture into “New clip”, then press Render. You can watch every step of it here."
        action={{ href: "#submit", label: "New clip" }}
      />
    );
  }
  const open = openJobs.value.filter(isShown);
  const ended = endedJobs.value.filter(isShown);
  return (
    <>
      <LabelFilter />
      {openJobs.value.length === 0 && selector.value === "" && (
        <p class="quiet">Nothing is being rendered. The farm waits for a picture.</p>
      )}
      <div class="job-list">
        {open.map((job) => (
          <JobCard key={job.jobId} job={job} />
        ))}
      </div>
      {ended.length > 0 && (
        <>
          <h2 class="section-title">Ended</h2>
          <div class="job-list">
            {ended.map((job) => (
              <JobCard key={job.jobId} job={job} />
            ))}
          </div>
        </>
      )}
      {open.length + ended.length === 0 && <p class="quiet">No job here has these labels.</p>}
      {hasOlder.value && (
        <button type="button" class="button" onClick={() => void attempt(listOlderShown)}>
          Older jobs
        </button>
      )}
    </>
  );
}
