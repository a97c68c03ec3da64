/** @file The ratios of a comparison as a picture: one bar a figure, one colour a checkpoint. */
import { BarChart } from "echarts/charts";
import {
  GridComponent,
  LegendComponent,
  MarkLineComponent,
  TitleComponent,
} from "echarts/components";
import { init, use } from "echarts/core";
import { SVGRenderer } from "echarts/renderers";
import { FIGURES } from "./compare.js";
import type { Results } from "./main.js";

const SIZE = { width: 960, height: 420 };

/** @returns the text of an SVG file */
export function plotRatios({ machine, rows }: Results): string {
  use([
    ...[BarChart, GridComponent, LegendComponent, MarkLineComponent, TitleComponent, SVGRenderer],
  ]);
  const checkpoints = [...new Set(rows.map(({ checkpoint }) => checkpoint))];
  const ratioOf = (checkpoint: string, figure: string) =>
    rows.find((row) => row.checkpoint === checkpoint && row.figure === figure)?.ratio ?? null;
  const chart = init(null, null, { renderer: "svg", ssr: true, ...SIZE });
  chart.setOption({
    animation: false,
    backgroundColor: "#ffffff",
    title: {
      text: "renderfarm / diffusers (lower is better; 1 is diffusers)",
      subtext: machine,
      left: "center",
    },
    legend: { bottom: 0 },
    grid: { left: 56, right: 24, top: 72, bottom: 64 },
    xAxis: { type: "category", data: [...FIGURES] },
    yAxis: { type: "value", min: 0, name: "ratio" },
    series: checkpoints.map((name, i) => ({
      ...{ type: "bar", name },
      data: FIGURES.map((figure) => ratioOf(name, figure)),
      ...(i === 0
        ? { markLine: { symbol: "none", data: [{ yAxis: 1 }], lineStyle: { color: "#b00020" } } }
        : {}),
    })),
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return svg;
}
