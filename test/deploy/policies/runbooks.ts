/** @file Where an alert sends whoever is woken by it. */
import { existsSync } from "node:fs";
import { type KubeObject, nameOf, ofKind } from "../overlays.js";

const PAGES = new URL("../../../docs/operations/runbooks/", import.meta.url);
const FORM = /^https:\/\/\S+\/docs\/operations\/runbooks\/([a-z-]+\.md)$/;

interface Alert {
  readonly alert?: string;
  readonly annotations?: { readonly runbook_url?: string };
}

/** Every alert has the whole address of a page that there is. */
export function runbooks(objects: readonly KubeObject[]): string[] {
  return ofKind(objects, "PrometheusRule").flatMap((rule) =>
    rule["spec"].groups
      .flatMap(({ rules }: { rules: Alert[] }) => rules)
      .filter(({ alert }: Alert) => alert !== undefined)
      .flatMap(({ alert, annotations }: Alert) => {
        const url = annotations?.runbook_url ?? "";
        const [, page] = FORM.exec(url) ?? [];
        const at = `${nameOf(rule)} ${alert}`;
        if (page === undefined) return [`${at}: "${url}" is no address of a page`];
        return existsSync(new URL(page, PAGES)) ? [] : [`${at}: there is no page ${page}`];
      }),
  );
}
