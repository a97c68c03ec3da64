/** @file What belongs to this browser: the key of the session, and light or dark. */
import { effect, signal } from "@preact/signals";

const KEY = "renderfarm.key";
const THEME = "renderfarm.theme";

export const THEMES = ["auto", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

/** Sent as Authorization; gone with the tab. */
export const apiKey = signal(sessionStorage.getItem(KEY) ?? "");

/** The farm has answered that it wants a key, or another one. */
export const keyIsWanted = signal(false);

export const theme = signal<Theme>(
  THEMES.find((known) => known === localStorage.getItem(THEME)) ?? "auto",
);

const prefersDark = matchMedia("(prefers-color-scheme: dark)");
const systemIsDark = signal(prefersDark.matches);
prefersDark.addEventListener("change", () => {
  systemIsDark.value = prefersDark.matches;
});

/** What is shown now; charts draw themselves anew when it changes. */
export const isDark = signal(false);

effect(() => {
  isDark.value = theme.value === "dark" || (theme.value === "auto" && systemIsDark.value);
  document.documentElement.dataset["theme"] = isDark.value ? "dark" : "light";
  localStorage.setItem(THEME, theme.value);
});

effect(() => {
  if (apiKey.value === "") sessionStorage.removeItem(KEY);
  else sessionStorage.setItem(KEY, apiKey.value);
});
