/** @file When and in what order a job runs, and what its sender knows it by. */
import type { Signal } from "@preact/signals";
import { PAIRS, type Pair } from "../parameters.js";
import { deadline, labels, owner, pair, priority, problems } from "../state/submission.js";
import { Problem } from "./fields.js";

export function JobOptions() {
  return (
    <div class="field-grid">
      <PairChoice />
      <Option name="priority" text={priority} placeholder="50" inputMode="numeric">
        0 to 100; higher goes first.
      </Option>
      <Option name="owner" text={owner} placeholder="local">
        Whose share of the farm it takes.
      </Option>
      <Option name="deadline_time" label="deadline" text={deadline} type="datetime-local">
        What is not finished by then expires.
      </Option>
      <Option name="labels" text={labels} placeholder="shot=12a, team=blue" isWide>
        What you know it by; the queue and the gallery find it by them.
      </Option>
    </div>
  );
}

interface OptionProps {
  readonly name: string;
  readonly label?: string;
  readonly text: Signal<string>;
  readonly type?: "text" | "datetime-local";
  readonly inputMode?: "text" | "numeric";
  readonly placeholder?: string;
  readonly isWide?: boolean;
  /** Its help. */
  readonly children: string;
}

function Option({ name, label = name, text, isWide = false, children, ...input }: OptionProps) {
  const isWrong = problems.value[name] !== undefined;
  return (
    <label class={isWide ? "field field-wide" : "field"}>
      <span class="field-name">{label}</span>
      <input
        {...input}
        name={name}
        autocomplete="off"
        spellcheck={false}
        value={text.value}
        aria-invalid={isWrong}
        aria-describedby={isWrong ? `${name}-problem ${name}-help` : `${name}-help`}
        onInput={(event) => {
          text.value = event.currentTarget.value;
        }}
      />
      <Problem name={name} />
      <small id={`${name}-help`} class="help">
        {children}
      </small>
    </label>
  );
}

function PairChoice() {
  return (
    <label class="field">
      <span class="field-name">pair</span>
      <select
        name="pair"
        value={pair.value}
        aria-describedby="pair-help"
        onChange={(event) => {
          pair.value = event.currentTarget.value as Pair;
        }}
      >
        {PAIRS.map((policy) => (
          <option key={policy}>{policy}</option>
        ))}
      </select>
      <small id="pair-help" class="help">
        Whether the two guidance halves of a step go to two nodes.
      </small>
      <Problem name="pair" />
    </label>
  );
}
