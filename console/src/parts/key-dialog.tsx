/** @file Asks for the API key; it stays in this tab. */
import type { RefObject } from "preact";
import { apiKey } from "../state/session.js";

export function KeyDialog({ dialog }: { readonly dialog: RefObject<HTMLDialogElement> }) {
  const save = (event: SubmitEvent) => {
    event.preventDefault();
    const field = new FormData(event.target as HTMLFormElement).get("key");
    apiKey.value = typeof field === "string" ? field.trim() : "";
    dialog.current?.close();
  };
  return (
    <dialog ref={dialog} class="dialog" aria-labelledby="key-title">
      <form class="dialog-body" onSubmit={save}>
        <h2 id="key-title">API key</h2>
        <p class="muted">
          Sent with every request as <code>Authorization: Bearer</code>. It stays in this tab and is
          gone with it.
        </p>
        <label class="field">
          <span class="field-name">API key</span>
          <input
            name="key"
            type="password"
            autocomplete="off"
            spellcheck={false}
            value={apiKey.value}
          />
        </label>
        <div class="dialog-actions">
          <button type="button" class="button" onClick={() => dialog.current?.close()}>
            Leave it
          </button>
          <button type="submit" class="button button-accent">
            Use this key
          </button>
        </div>
      </form>
    </dialog>
  );
}
