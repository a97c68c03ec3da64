/** @file The few kinds of panels that the dashboards are made of. */
import {
  DashboardBuilder as Dashboard,
  type DashboardBuilder,
  DatasourceVariableBuilder,
  type Panel,
  QueryVariableBuilder,
  RowBuilder,
} from "@grafana/grafana-foundation-sdk/dashboard";
import { DataqueryBuilder } from "@grafana/grafana-foundation-sdk/prometheus";
import { PanelBuilder as StatBuilder } from "@grafana/grafana-foundation-sdk/stat";
import { PanelBuilder as TimeseriesBuilder } from "@grafana/grafana-foundation-sdk/timeseries";

/** What is asked of Prometheus, and the name of each answer's line. */
export interface Query {
  readonly expr: string;
  /** Grafana's form, as in "{{stage}}". */
  readonly legend: string;
}

export interface PanelText {
  readonly title: string;
  /** Says how to read it; shown behind an "i". */
  readonly description: string;
  /** Grafana's name of a unit: "s", "short", "Bps", "percentunit". */
  readonly unit: string;
  /** Of 24 columns. */
  readonly span: number;
}

type Builder = { build(): Panel; id(id: number): Builder };

const DATASOURCE = { type: "prometheus", uid: "$" + "{datasource}" };

/** Lines over time. */
export function lines(text: PanelText, ...queries: Query[]): Builder {
  const panel = new TimeseriesBuilder()
    .title(text.title)
    .description(text.description)
    .unit(text.unit)
    .datasource(DATASOURCE)
    .span(text.span)
    .height(8)
    .min(0);
  return panel.targets(queries.map(target));
}

/** One number. */
export function number(text: PanelText, query: Query): Builder {
  return new StatBuilder()
    .title(text.title)
    .description(text.description)
    .unit(text.unit)
    .datasource(DATASOURCE)
    .span(text.span)
    .height(4)
    .targets([target(query, 0)]);
}

function target({ expr, legend }: Query, index: number): DataqueryBuilder {
  return new DataqueryBuilder()
    .refId(String.fromCharCode(65 + index))
    .expr(expr)
    .legendFormat(legend)
    .datasource(DATASOURCE);
}

export function dashboard(uid: string, title: string): DashboardBuilder {
  return new Dashboard(title)
    .uid(`renderfarm-${uid}`)
    .tags(["renderfarm"])
    .refresh("30s")
    .time({ from: "now-3h", to: "now" })
    .readonly()
    .withVariable(new DatasourceVariableBuilder("datasource").type("prometheus"));
}

/** A choice of the values of a label. */
export function choice(name: string, query: string): QueryVariableBuilder {
  return new QueryVariableBuilder(name)
    .datasource(DATASOURCE)
    .query(query)
    .refresh(2)
    .includeAll(true)
    .multi(true);
}

/** A title and the panels under it. */
export type Row = readonly [title: string, ...panels: Builder[]];

export function rows(board: DashboardBuilder, ...parts: readonly Row[]): DashboardBuilder {
  // Links to a panel name its id; in the order of the board, so that they are stable.
  let id = 0;
  for (const [title, ...panels] of parts) {
    id += 1;
    board.withRow(new RowBuilder(title).id(id));
    for (const panel of panels) {
      id += 1;
      board.withPanel(panel.id(id));
    }
  }
  return board;
}
