import { expect, test } from "vitest";
import { traceOfJob } from "../../core/trace-context.js";
import { farmLog } from "./farm-log.js";

function logged(write: (log: ReturnType<typeof farmLog>) => void): Record<string, unknown>[] {
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push(line) };
  write(farmLog({ name: "test", destination, base: { node_id: "n1" } }));
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}

test("a line has a time, a level in words, its process, and the trace of its job", () => {
  const jobId = "0123456789abcdefghjkmnpqrs";
  const [line] = logged((log) => log.info({ job_id: jobId, stage: "denoise" }, "task assigned"));
  expect(line).toMatchObject({
    ...{ level: "info", name: "test", node_id: "n1", msg: "task assigned", stage: "denoise" },
    ...{ job_id: jobId, trace_id: traceOfJob(jobId, null).traceId },
  });
  expect(Date.parse(String(line?.["time"]))).toBeGreaterThan(0);
});

const KEY = "rf_4d4a8c5886e8_ddH18v0eFhgudtgccvmTS8oynNtY7WJIANns8Pfg";
const SIGNED =
  "https://s3/b/k?X-Amz-Credential=AK%2F1&X-Amz-Date=2026&X-Amz-Signature=0a1b2c&x-id=GetObject";
const SEED = `SU${"A".repeat(56)}`;
const secrets: [name: string, text: string, left: string][] = [
  ["a user's key", `refused ${KEY}`, "refused rf_4d4a8c5886e8_[hidden]"],
  ["a header", "authorization: Bearer abcdef123456", "authorization: Bearer [hidden]"],
  [
    "a signed URL",
    SIGNED,
    "https://s3/b/k?X-Amz-Credential=[hidden]&X-Amz-Date=2026&X-Amz-Signature=[hidden]&x-id=GetObject",
  ],
  ["a seed of NATS", `seed ${SEED} given`, "seed [hidden] given"],
  ["a password in a URL", "nats://me:geheim@host:4222", "nats://me:[hidden]@host:4222"],
];

test.each(secrets)("%s is hidden in a message, a field, and an error", (_name, text, left) => {
  const [inText, inField, inError] = logged((log) => {
    log.warn(text);
    log.warn({ detail: text, more: { deep: [text] } }, "x");
    log.error({ err: new Error(text) }, "x");
  });
  expect(inText).toMatchObject({ msg: left });
  expect(inField).toMatchObject({ detail: left, more: { deep: [left] } });
  expect(inError).toMatchObject({ err: { message: left } });
  expect(JSON.stringify([inText, inField, inError])).not.toMatch(
    /ddH18|0a1b2c|abcdef123456|geheim|SUAAA/,
  );
});

test("fields that are secret are hidden whatever they hold", () => {
  const [line] = logged((log) => log.info({ busToken: "abc", token: 1, tokens: 2 }, "x"));
  expect(line).toMatchObject({ busToken: "[hidden]", token: "[hidden]", tokens: 2 });
});

test("ordinary lines stay as they are", () => {
  const text = "node denoise-0 finished step 3/25 in 1.2 s: s3://renderfarm/jobs/x";
  expect(
    logged((log) => log.info({ duration_s: 1.5, ok: true, none: null }, text))[0],
  ).toMatchObject({
    ...{ msg: text, duration_s: 1.5, ok: true, none: null },
  });
});
