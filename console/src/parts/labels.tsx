/** @file Labels of a job, and the field that finds jobs by them. */
import type { JobJson } from "../api/types.js";
import { labelsOf, labelTexts } from "../labels.js";
import { hasFilter, selector, selectorProblem } from "../state/filter.js";

/** Each is a button that shows the jobs with this label alone. */
export function JobLabels({ job }: { readonly job: JobJson }) {
  const texts = labelTexts(labelsOf(job));
  if (texts.length === 0) return null;
  return (
    <ul class="labels" aria-label="Labels">
      {texts.map((text) => (
        <li key={text}>
          <button
            type="button"
            class="label"
            title={`Show jobs with ${text}`}
            aria-pressed={selector.value === text}
            onClick={() => {
              selector.value = selector.value === text ? "" : text;
            }}
          >
            {text}
          </button>
        </li>
      ))}
    </ul>
  );
}

/** Absent as long as no job has labels. */
export function LabelFilter() {
  if (!hasFilter.value) return null;
  const problem = selectorProblem.value;
  return (
    <label class="filter">
      <span class="field-name">labels</span>
      <input
        type="search"
        name="label_selector"
        autocomplete="off"
        spellcheck={false}
        placeholder="team=blue, shot"
        value={selector.value}
        aria-invalid={problem !== ""}
        aria-describedby={problem === "" ? undefined : "label_selector-problem"}
        onInput={(event) => {
          selector.value = event.currentTarget.value;
        }}
      />
      {problem !== "" && (
        <span class="problem" id="label_selector-problem">
          {problem}
        </span>
      )}
    </label>
  );
}
