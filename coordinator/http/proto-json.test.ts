import { createFileRegistry, fromBinary, type JsonValue, toJson } from "@bufbuild/protobuf";
import { base64Decode } from "@bufbuild/protobuf/wire";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import { FILE_DESCRIPTOR_SET } from "../../proto/gen/descriptors.js";
import { CreateJobRequest, GetJobResponse } from "../../proto/gen/renderfarm/v1/job_service.js";
import type { FarmError } from "../../shared/core/errors.js";
import { nearestName } from "./nearest-name.js";
import { readProtoJson, toProtoJson } from "./proto-json.js";

const blob = { key: "v1/inputs/x", sha256: "ab", size: "18446744073709551615" };

/** The violations of a request, as "field: description". */
function wrong(json: unknown, message = "CreateJobRequest"): string[] {
  try {
    readProtoJson(message, json);
    return [];
  } catch (error) {
    const { violations } = error as FarmError;
    return violations.map(({ field, description }) => `${field}: ${description}`);
  }
}

describe("a request", () => {
  test("is read in either spelling, with 64-bit numbers as texts and times as RFC 3339", () => {
    const json = {
      images: [blob],
      parameters: { numFrames: 4, min_guidance_scale: "1.5", seeds: { values: ["7", 8] } },
      options: { priority: 60, startAfterTime: "2030-01-31T12:00:00Z", branch: null },
      validate_only: true,
    };
    const fields: object = readProtoJson("CreateJobRequest", json);
    expect(CreateJobRequest.fromPartial(fields)).toMatchObject({
      images: [{ ...blob, size: 2n ** 64n - 1n }],
      parameters: { numFrames: 4, minGuidanceScale: 1.5, seeds: { values: [7n, 8n] } },
      options: {
        priority: 60,
        startAfterTime: new Date("2030-01-31T12:00:00Z"),
        branch: undefined,
      },
      validateOnly: true,
    });
  });

  test.each<[name: string, json: unknown, expected: string[]]>([
    [
      "an unknown field, with what was meant",
      { image: [], parameters: { hieght: 1, num_frame: 2 } },
      [
        "image: is no field of CreateJobRequest; did you mean images?",
        "parameters.hieght: is no field of RenderParameters; did you mean height?",
        "parameters.num_frame: is no field of RenderParameters; did you mean num_frames?",
      ],
    ],
    [
      "types that do not fit",
      {
        images: {},
        requestId: 5,
        validateOnly: "yes",
        parameters: {
          height: "tall",
          formats: ["mp3"],
          sigmas: [1, null],
          seeds: { values: [-1] },
        },
      },
      [
        "images: {} is not a list",
        "requestId: 5 is no text",
        'validateOnly: "yes" is neither true nor false',
        'parameters.height: "tall" is not a number',
        'parameters.formats[0]: "mp3" is not one of OUTPUT_FORMAT_MP4, OUTPUT_FORMAT_GIF, OUTPUT_FORMAT_WEBP, OUTPUT_FORMAT_PNG, OUTPUT_FORMAT_SAFETENSORS',
        "parameters.sigmas[1]: null is not a number",
        "parameters.seeds.values[0]: -1 is not a whole number of 64 bits",
      ],
    ],
    [
      "a number that JSON rounded",
      { images: [{ size: 2 ** 60 }] },
      ['images[0].size: 1152921504606847000 is above 2^53; write it as a text, "..."'],
    ],
    [
      "a whole number that is none",
      { options: { priority: 1.5 } },
      ["options.priority: 1.5 is not a whole number from 0 to 4294967295"],
    ],
    [
      "a time that is none",
      { options: { startAfterTime: "tomorrow" } },
      ['options.startAfterTime: "tomorrow" is not a time such as 2030-01-31T12:00:00Z'],
    ],
    ["no object", [], ["body: [] is not an object"]],
  ])("names %s", (_name, json, expected) => {
    expect(wrong(json)).toEqual(expected);
  });

  test("leaves the numbers of a clip to whoever knows their real ranges", () => {
    expect(wrong({ parameters: { numFrames: -3, width: 12.5 } })).toEqual([]);
    expect(wrong({ parameters: { clips: [{ fps: -3 }, { fps: 12.5 }] } })).toEqual([]);
  });

  test("that is enormous or odd is named in few words", () => {
    const [line = ""] = wrong({ ["x".repeat(5_000)]: 1 });
    expect(line.length).toBeLessThan(300);
    expect(wrong({ __proto__x: 1, constructor: 2 })).toHaveLength(2);
  });
});

test("an answer is what the schema's own library writes", () => {
  const message = GetJobResponse.fromPartial({
    job: {
      ...{ jobId: "j", state: "JOB_STATE_RUNNING", createTime: new Date(1_500) },
      parameters: { height: 8, sigmas: [1.5, 0], seeds: { values: [2n ** 63n] }, formats: [] },
      clips: [{ index: 1, outputs: [{ fileName: "a", blob: { key: "k", size: 12n } }] }],
      options: { priority: 0 },
    },
  });
  const set = fromBinary(FileDescriptorSetSchema, base64Decode(FILE_DESCRIPTOR_SET));
  const schema = createFileRegistry(set).getMessage("renderfarm.v1.GetJobResponse")!;
  const bytes = GetJobResponse.encode(message).finish();
  const expected: JsonValue = toJson(schema, fromBinary(schema, bytes), {
    alwaysEmitImplicit: true,
  });
  // The library leaves the milliseconds of a time out where they are 0.
  const written = JSON.parse(JSON.stringify(toProtoJson(message)));
  expect(written).toEqual(expected);
});

test.each([
  ["hieght", ["height", "width"], "height"],
  ["numFramse", ["numFrames", "fps"], "numFrames"],
  ["zebra", ["height", "width"], null],
  ["x".repeat(100_000), ["height"], null],
])("what may have been meant by %s", (wanted, names, expected) => {
  expect(nearestName(wanted, names)).toBe(expected);
});
