/** @file Which view is shown: the part of the address after "#". */
import { signal } from "@preact/signals";

export const VIEWS = ["submit", "queue", "gallery", "farm"] as const;
export type View = (typeof VIEWS)[number];

function viewOf(hash: string): View {
  return VIEWS.find((view) => `#${view}` === hash) ?? "queue";
}

export const view = signal<View>(viewOf(location.hash));

addEventListener("hashchange", () => {
  view.value = viewOf(location.hash);
});

export function show(next: View): void {
  location.hash = next;
}
