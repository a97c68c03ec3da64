// The text of docs/parameters.md, out of the sources: messages and comments of job.proto, ranges of
// shared/farm/limits.ts, flags of the command line.
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** Fields whose flag or range has another name. */
const FLAGS = {
  seeds: "--seed",
  formats: "--format",
  clips: "--batch",
  branch: "--from-step",
  start_after_time: "--start-after",
  deadline_time: "--deadline",
  labels: "--label",
};
const RANGES = {
  height: "SIDE_PIXELS",
  width: "SIDE_PIXELS",
  min_guidance_scale: "GUIDANCE_SCALE",
  max_guidance_scale: "GUIDANCE_SCALE",
};
const SECTIONS = [
  ["RenderParameters", "What a clip is made from", true],
  ["ClipOverrides", "What one clip of a list may have of its own", false],
  ["JobOptions", "When and in what order a job runs", true],
];

/** @param root folder of the repository */
export function parameterReference(root) {
  const read = (file) => readFileSync(join(root, file), "utf8");
  const proto = read("proto/renderfarm/v1/job.proto");
  const ranges = rangesOf(read("shared/farm/limits.ts"));
  const flags = flagsOf(read("cli/render-flags.ts") + read("cli/job-options.ts"));
  const sections = SECTIONS.map(([message, title, hasFlags]) =>
    section(`${title} (\`${message}\`)`, fieldsOf(proto, message), { ranges, flags, hasFlags }),
  );
  const enums = ["GuidanceKind", "Fit", "Preset", "Schedule", "PairPolicy", "OutputFormat"];
  return `${[
    "# Parameters",
    "<!-- Written by `npm run generate` from job.proto, limits.ts and the flags; do not edit. -->",
    "Names are those of the API; flags and programs spell them their own way (`num_frames`, `--num-frames`,\n`numFrames`). What is left out takes the checkpoint's value or that of diffusers.",
    ...sections,
    "## Values",
    ...enums.map((name) => enumText(name, fieldsOf(proto, name, "enum"))),
  ].join("\n\n")}\n`;
}

function section(title, fields, { ranges, flags, hasFlags }) {
  const rows = fields.map(({ name, comment }) => {
    const range = ranges.get(RANGES[name] ?? name.toUpperCase()) ?? "";
    if (!hasFlags) return [`\`${name}\``, range, comment];
    const flag = FLAGS[name] ?? `--${name.replaceAll("_", "-")}`;
    const known = flags.get(flag);
    return [`\`${name}\``, known ? `\`${known.spelling}\`` : "", range, comment, known?.text ?? ""];
  });
  const headings = hasFlags
    ? ["field", "flag", "range", "meaning", "on the command line"]
    : ["field", "range", "meaning"];
  return `## ${title}\n\n${table(headings, rows)}`;
}

function enumText(name, values) {
  const rows = values
    .filter((value) => !value.name.endsWith("UNSPECIFIED"))
    .map(({ name: value, comment }) => [`\`${value}\``, comment]);
  return `### ${name}\n\n${table(["value", "meaning"], rows)}`;
}

function table(headings, rows) {
  const line = (cells) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(headings), line(headings.map(() => "---")), ...rows.map(line)].join("\n");
}

/** Fields of a message or values of an enum, each with the comment above it. */
function fieldsOf(proto, name, kind = "message") {
  const [, body] = new RegExp(`\\n${kind} ${name} \\{\\n([\\s\\S]*?)\\n\\}`).exec(proto) ?? [];
  if (body === undefined) throw new Error(`job.proto has no ${kind} ${name}`);
  const fields = [];
  let comment = [];
  for (const line of body.split("\n").map((text) => text.trim())) {
    const [, said] = /^\/\/ ?(.*)$/.exec(line) ?? [];
    const [, field] = /(\w+) = \d+;$/.exec(line) ?? [];
    if (said !== undefined) comment.push(said);
    else if (field !== undefined) {
      fields.push({ name: field, comment: comment.join(" ") });
      comment = [];
    }
  }
  return fields;
}

/** "1 to 240" by the constant's name. */
function rangesOf(source) {
  const pattern = /export const (\w+): Range = \{ min: ([\d_.e]+), max: ([\d_.e]+) \};/g;
  const plain = (text) => text.replaceAll("_", "");
  return new Map(
    [...source.matchAll(pattern)].map(([, name, min, max]) => [
      name,
      `${plain(min)} to ${plain(max)}`,
    ]),
  );
}

/** What `--help` says of a flag, by its long name. */
function flagsOf(source) {
  const pattern = /\.option\(\s*"(?:-\w, )?(--[\w-]+)((?: <[^>]+>)?)",\s*["`]([^"`]*)["`]/g;
  return new Map(
    [...source.matchAll(pattern)].map(([, long, value, text]) => [
      long,
      {
        spelling: `${long}${value}`,
        text: text.replace(/\$\{JOB_OPTIONS_DEFAULT\.owner\}/, "local"),
      },
    ]),
  );
}
