/** @file The chart of the timeline: a lane a node, a bar a task. Loaded with the view that shows it. */
import type { CustomSeriesRenderItem } from "echarts";
import { CustomChart } from "echarts/charts";
import { DataZoomInsideComponent, GridComponent, TooltipComponent } from "echarts/components";
import { init, use } from "echarts/core";
import { CanvasRenderer } from "echarts/renderers";
import { useEffect, useRef } from "preact/hooks";
import type { TimelineJson } from "../api/types.js";
import { seconds, shortId } from "../format.js";
import { isDark } from "../state/session.js";
import { byNode } from "../state/timeline.js";
import { type Bar, barsOf } from "./timeline-bars.js";
import { KINDS, kindWord } from "./timeline-kinds.js";
import { type Part, restWords, spentWords, stretchesOf } from "./timeline-parts.js";

use([CustomChart, GridComponent, TooltipComponent, DataZoomInsideComponent, CanvasRenderer]);

const LANE_PIXELS = 44;
const AROUND_PIXELS = 48;
const BAR_PIXELS = 20;
/** From the middle of the lane. */
const BAR_TOP_PIXELS = -14;
/** Heights on the ground of the bar: told apart without colours, too. */
const PART_PIXELS: Readonly<Record<Part, number>> = { compute: BAR_PIXELS, exchange: 12, rest: 5 };

interface TimelineChartProps {
  readonly told: TimelineJson;
  readonly spanSeconds: number;
}

export function TimelineChart({ told, spanSeconds }: TimelineChartProps) {
  const element = useRef<HTMLDivElement>(null);
  const chart = useRef<ReturnType<typeof init> | null>(null);
  const pointer = useRef<{ readonly x: number; readonly y: number } | null>(null);
  const lanes = [...byNode(told.intervals).keys()].sort((a, b) =>
    a.localeCompare(b, undefined, { numeric: true }),
  );
  const dark = isDark.value;

  useEffect(() => {
    if (!element.current) return undefined;
    const drawn = init(element.current);
    chart.current = drawn;
    drawn.getZr().on("mousemove", ({ offsetX, offsetY }) => {
      pointer.current = { x: offsetX, y: offsetY };
    });
    drawn.getZr().on("globalout", () => {
      pointer.current = null;
    });
    const resized = new ResizeObserver(() => drawn.resize());
    resized.observe(element.current);
    return () => {
      resized.disconnect();
      drawn.dispose();
    };
  }, []);

  useEffect(() => {
    if (!element.current) return;
    chart.current?.setOption(
      optionOf(told, lanes, spanSeconds, getComputedStyle(element.current)),
      {
        notMerge: true,
        lazyUpdate: false,
      },
    );
    // Drawing anew, as while a bar grows, takes the words away from whoever reads them.
    if (pointer.current) chart.current?.dispatchAction({ type: "showTip", ...pointer.current });
  }, [told, spanSeconds, dark]);

  const height = lanes.length * LANE_PIXELS + AROUND_PIXELS;
  return (
    <div
      ref={element}
      class="timeline-chart"
      role="img"
      aria-label={`Work of ${lanes.length} nodes over time; the table below has the same`}
      style={{ height: `${height}px` }}
    />
  );
}

function optionOf(
  told: TimelineJson,
  lanes: readonly string[],
  spanSeconds: number,
  style: CSSStyleDeclaration,
) {
  const bars = barsOf(told, lanes);
  const nowMs = Date.parse(told.time);
  const latestMs = Math.max(...bars.map((bar) => bar.endMs));
  const firstMs = Math.min(...bars.map((bar) => bar.startMs));
  const endMs = bars.some((bar) => bar.isOpen) ? nowMs : latestMs;
  const colour = (name: string) => style.getPropertyValue(name).trim();
  const reducesMotion = matchMedia("(prefers-reduced-motion: reduce)").matches;
  return {
    animation: !reducesMotion && bars.length < 50,
    animationDuration: 150,
    textStyle: { fontFamily: style.fontFamily },
    grid: { left: 8, right: 12, top: 6, bottom: 4, containLabel: true },
    dataZoom: [{ type: "inside", filterMode: "weakFilter" }],
    tooltip: tooltipOf(bars, colour, style.fontFamily),
    xAxis: {
      type: "time",
      min: Math.max(firstMs, endMs - spanSeconds * 1000),
      max: endMs,
      axisLabel: { color: colour("--muted"), hideOverlap: true, fontSize: 11 },
      splitLine: { show: true, lineStyle: { color: colour("--line") } },
    },
    yAxis: {
      type: "category",
      inverse: true,
      data: lanes,
      axisLabel: { color: colour("--text"), fontSize: 12 },
      axisLine: { show: false },
      axisTick: { show: false },
    },
    series: [
      {
        type: "custom",
        clip: true,
        encode: { x: [1, 2], y: 0 },
        renderItem: drawerOf(bars, colour),
        data: bars.map((bar) => [bar.lane, bar.startMs, bar.endMs]),
      },
    ],
  };
}

/** Drawn on the canvas: the page's security policy allows no markup with styles. */
function tooltipOf(bars: readonly Bar[], colour: (name: string) => string, fontFamily: string) {
  return {
    renderMode: "richText",
    backgroundColor: colour("--panel"),
    borderColor: colour("--line-strong"),
    textStyle: { color: colour("--text"), fontSize: 12, fontFamily },
    formatter: ({ dataIndex }: { dataIndex: number }) => {
      const bar = bars[dataIndex];
      if (!bar) return "";
      const tookSeconds = (bar.endMs - bar.startMs) / 1000;
      const took = seconds(tookSeconds);
      if (!bar.interval) return `waiting for ${took}`;
      const { jobId, clipIndex, end, nodeId, spent } = bar.interval;
      const how = end === null ? "goes on" : end;
      const what = kindWord(bar.kind, bar.interval);
      const parts = spent
        ? [
            spentWords(spent, tookSeconds, bar.interval.half !== null, seconds),
            restWords(spent, seconds),
          ]
        : [];
      const lines = [
        `job ${shortId(jobId)}, clip ${clipIndex + 1}`,
        `${took} on ${nodeId}, ${how}`,
      ];
      return [what, ...lines, ...parts].join("\n");
    },
  };
}

function drawerOf(bars: readonly Bar[], colour: (name: string) => string): CustomSeriesRenderItem {
  const colours = new Map(KINDS.map(({ kind }) => [kind, colour(`--stage-${kind}`)]));
  const exchange = colour("--part-exchange");
  return (params, chart) => {
    const bar = bars[params.dataIndex];
    if (!bar) return null;
    const x = (ms: number) => chart.coord([ms, bar.lane])[0] ?? 0;
    const middle = chart.coord([bar.startMs, bar.lane])[1] ?? 0;
    const opacity = bar.isLost ? 0.4 : 1;
    const fill = colours.get(bar.kind) ?? "";
    const stretches = stretchesOf(bar.startMs, bar.endMs, bar.interval?.spent ?? null);
    if (stretches.length === 0) {
      // Files are written beside a task of the accelerator: a thin bar below it.
      const isThin = bar.kind === "mux" || bar.kind === "waiting";
      const height = isThin ? 5 : BAR_PIXELS;
      const y = middle + (bar.kind === "mux" ? 8 : bar.kind === "waiting" ? -5 : BAR_TOP_PIXELS);
      const width = Math.max(1.5, x(bar.endMs) - x(bar.startMs) - 1);
      const shape = { x: x(bar.startMs), y, width, height, r: isThin ? 2 : 3 };
      return { type: "rect", shape, style: { fill, opacity } };
    }
    const last = stretches.at(-1);
    const children = stretches.map(({ part, startMs, endMs }) => {
      const height = PART_PIXELS[part];
      const y = middle + BAR_TOP_PIXELS + BAR_PIXELS - height;
      const gap = part === last?.part ? 1 : 0;
      const width = Math.max(0.5, x(endMs) - x(startMs) - gap);
      return {
        type: "rect" as const,
        shape: { x: x(startMs), y, width, height, r: part === "compute" ? [3, 0, 0, 3] : 0 },
        style: { fill: part === "exchange" ? exchange : fill, opacity },
      };
    });
    return { type: "group", children };
  };
}
