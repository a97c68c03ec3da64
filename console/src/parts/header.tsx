/** @file The line at the top: the views, how the farm is, light or dark, the key. */
import { useRef } from "preact/hooks";
import { plural } from "../format.js";
import { connection, farm, models, nodes, openJobs } from "../state/farm.js";
import { type View, view } from "../state/route.js";
import { keyIsWanted, THEMES, theme } from "../state/session.js";
import { Icon } from "./icon.js";
import { KeyDialog } from "./key-dialog.js";

const CONNECTION_WORDS = {
  live: "live",
  connecting: "connecting",
  refused: "key wanted",
} as const;

const TITLES: Readonly<Record<View, string>> = {
  submit: "New",
  queue: "Queue",
  gallery: "Gallery",
  farm: "Farm",
};

export function Header() {
  return (
    <header class="bar">
      <a class="brand" href="#queue">
        <Mark />
        renderfarm
      </a>
      <Navigation />
      <FarmSummary />
      <div class="header-tools">
        <KeyButton />
        <ThemeButton />
      </div>
    </header>
  );
}

function Navigation() {
  return (
    <nav class="tabs" aria-label="Views">
      {(Object.keys(TITLES) as View[]).map((name) => (
        <a
          key={name}
          href={`#${name}`}
          class={`tab tab-${name}`}
          aria-current={view.value === name ? "page" : undefined}
        >
          <Icon name={name} />
          {TITLES[name]}
          {name === "queue" && openJobs.value.length > 0 && (
            <span class="count">{openJobs.value.length}</span>
          )}
        </a>
      ))}
    </nav>
  );
}

/** Two halves that become one frame. */
function Mark() {
  return (
    <svg class="mark" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <rect class="mark-a" x="2" y="7" width="16" height="18" rx="4" />
      <rect class="mark-b" x="14" y="7" width="16" height="18" rx="4" />
    </svg>
  );
}

function FarmSummary() {
  const all = nodes.value;
  const busy = all.filter((node) => node.taskCount > 0).length;
  const waiting = openJobs.value.filter((job) => job.state === "JOB_STATE_QUEUED").length;
  const state = connection.value;
  return (
    <dl class="summary">
      <div class="summary-item">
        <dt class="visually-hidden">Connection</dt>
        <dd class={`live live-${state}`}>{CONNECTION_WORDS[state]}</dd>
      </div>
      {farm.value && (
        <>
          <div class="summary-item">
            <dt class="visually-hidden">Nodes</dt>
            <dd>
              {plural(all.length, "node")}
              {busy > 0 && <span class="muted">, {busy} busy</span>}
            </dd>
          </div>
          <div class="summary-item summary-wide">
            <dt class="visually-hidden">Waiting jobs</dt>
            <dd>{waiting === 0 ? "nothing waits" : `${plural(waiting, "job")} waiting`}</dd>
          </div>
          {models.value.map((model) => (
            <div key={model.digest} class="summary-item summary-wide">
              <dt class="visually-hidden">Checkpoint</dt>
              <dd class="mono" title={model.digest}>
                {model.name}
              </dd>
            </div>
          ))}
        </>
      )}
    </dl>
  );
}

function ThemeButton() {
  const next = THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length] ?? "auto";
  const label = `Colours: ${theme.value}. Switch to ${next}`;
  return (
    <button
      type="button"
      class="icon-button"
      aria-label={label}
      title={label}
      onClick={() => {
        theme.value = next;
      }}
    >
      <Icon name={theme.value} />
    </button>
  );
}

function KeyButton() {
  const dialog = useRef<HTMLDialogElement>(null);
  return (
    <>
      <button
        type="button"
        class={keyIsWanted.value ? "button button-accent" : "icon-button"}
        aria-label="API key"
        title="API key"
        onClick={() => dialog.current?.showModal()}
      >
        <Icon name="key" />
        {keyIsWanted.value && "API key"}
      </button>
      <KeyDialog dialog={dialog} />
    </>
  );
}
