/** @file What the farm would do with the job, before it is sent. */
import { plural, seconds } from "../format.js";
import { plan } from "../state/submission.js";

export function PlanNote() {
  const told = plan.value;
  if (!told) return null;
  const { clips, chunksPerClip, etaSeconds, jobsAhead, whyNotNow } = told;
  const able = told.nodes.filter(({ whyNot }) => whyNot === "").length;
  return (
    <div class="plan">
      <span>
        {plural(clips, "clip")}, each {told.plan === "pair" ? "on a pair of nodes" : "on one node"},
        decoded in {plural(chunksPerClip, "chunk")}
      </span>
      <span class="muted">
        {plural(able, "node")} can do it
        {jobsAhead > 0 && `, ${plural(jobsAhead, "job")} ahead`}
        {etaSeconds !== undefined && `, about ${seconds(etaSeconds)}`}
      </span>
      {whyNotNow.length > 0 && <span class="plan-wait">Waits: {whyNotNow.join("; ")}</span>}
    </div>
  );
}
