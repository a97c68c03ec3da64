/** @file The page around the views: header, navigation, what is said, what went wrong. */
import { Header } from "./parts/header.js";
import { Icon } from "./parts/icon.js";
import { announcement, dismiss, notices } from "./state/announce.js";
import { view } from "./state/route.js";
import { FarmView } from "./views/farm-view.js";
import { GalleryView } from "./views/gallery-view.js";
import { QueueView } from "./views/queue-view.js";
import { SubmitView } from "./views/submit-view.js";

export function App() {
  return (
    <>
      <a class="skip-link" href="#main">
        Skip to the content
      </a>
      <Header />
      <div class="columns" data-view={view.value}>
        <aside class="composer" aria-label="New job">
          <SubmitView />
        </aside>
        <main id="main" tabIndex={-1}>
          <Content />
        </main>
      </div>
      <p class="visually-hidden" role="status" aria-live="polite">
        {announcement.value}
      </p>
      <Notices />
    </>
  );
}

function Content() {
  switch (view.value) {
    case "gallery":
      return <GalleryView />;
    case "farm":
      return <FarmView />;
    default: // on a wide screen the form has its own column
      return <QueueView />;
  }
}

function Notices() {
  return (
    <div class="notices" role="alert">
      {notices.value.map(({ id, kind, text }) => (
        <div key={id} class={`notice notice-${kind}`}>
          <span>{text}</span>
          <button type="button" class="icon-button" aria-label="Close" onClick={() => dismiss(id)}>
            <Icon name="close" />
          </button>
        </div>
      ))}
    </div>
  );
}
