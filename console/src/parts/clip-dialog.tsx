/** @file A clip large, with every number that it was made from. */
import type { RefObject } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { ClipJson, JobJson } from "../api/types.js";
import { seconds } from "../format.js";
import { guidanceKindOf, scalesText } from "../guidance.js";
import { labelsOf, labelTexts } from "../labels.js";
import { parametersOf } from "../own-values.js";
import { PARAMETER_FIELDS } from "../parameters.js";
import { ClipActions, ClipPlayer } from "./clip-parts.js";
import { Icon } from "./icon.js";

interface ClipDialogProps {
  readonly dialog: RefObject<HTMLDialogElement>;
  readonly job: JobJson;
  readonly clip: ClipJson;
  readonly name: string;
}

export function ClipDialog(props: ClipDialogProps) {
  const [isOpen, setOpen] = useState(false);
  useEffect(() => {
    const element = props.dialog.current;
    const follow = () => setOpen(element?.open ?? false);
    element?.addEventListener("toggle", follow);
    return () => element?.removeEventListener("toggle", follow);
  }, [props.dialog]);
  return (
    <dialog ref={props.dialog} class="dialog dialog-wide" aria-label={props.name}>
      {isOpen && <DialogContent {...props} />}
    </dialog>
  );
}

function DialogContent({ dialog, job, clip, name }: ClipDialogProps) {
  return (
    <div class="dialog-body">
      <div class="dialog-head">
        <h2>{name}</h2>
        <button
          type="button"
          class="icon-button"
          aria-label="Close"
          onClick={() => dialog.current?.close()}
        >
          <Icon name="close" />
        </button>
      </div>
      <div class="clip-close">
        <div class="clip-frame clip-frame-large">
          <ClipPlayer job={job} clip={clip} name={name} isLarge />
        </div>
        <dl class="numbers">
          {numbersOf(job, clip).map(([term, value]) => (
            <div key={term} class="number">
              <dt class="mono">{term}</dt>
              <dd class="mono">{value}</dd>
            </div>
          ))}
        </dl>
      </div>
      <ClipActions job={job} clip={clip} />
    </div>
  );
}

function numbersOf(job: JobJson, clip: ClipJson): [term: string, value: string][] {
  const parameters = parametersOf(job, clip.index);
  const given = PARAMETER_FIELDS.flatMap(({ name, json }): [string, string][] => {
    const value = parameters?.[json];
    if (json === "seeds") return [[name, (parameters?.seeds?.values ?? []).join(", ")]];
    if (value === undefined || (Array.isArray(value) && value.length === 0)) return [];
    return [[name, Array.isArray(value) ? value.join(", ") : String(value)]];
  });
  const stages = clip.stages.map((report): [string, string] => [
    report.stage.replace("STAGE_", "").toLowerCase(),
    `${seconds(report.seconds)} on ${report.nodeIds.join(", ")}`,
  ]);
  const { guidance, fit } = parameters ?? {};
  const scales = guidance?.scales.length ? scalesText(guidance) : guidanceKindOf(guidance);
  const looks: [string, string][] = [
    ["guidance", scales ?? ""],
    ["fit", fit?.replace("FIT_", "").toLowerCase() ?? ""],
  ];
  const labels = labelTexts(labelsOf(job));
  return [
    ...given,
    ...looks,
    ["checkpoint", job.modelName],
    ["plan", clip.plan],
    ...(labels.length > 0 ? [["labels", labels.join(", ")] as [string, string]] : []),
    ...stages,
  ];
}
