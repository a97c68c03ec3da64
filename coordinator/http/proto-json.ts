/**
 * @file Requests and answers of the API in proto3 JSON. Requests are read by the schema itself, so a
 * field that the schema gains is legal here at once, and one that it never had is an error.
 *
 * @source protobuf.dev, "ProtoJSON Format"
 */
import {
  createFileRegistry,
  type DescField,
  type DescMessage,
  fromBinary,
  ScalarType,
} from "@bufbuild/protobuf";
import { base64Decode } from "@bufbuild/protobuf/wire";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { FILE_DESCRIPTOR_SET } from "../../proto/gen/descriptors.js";
import { assert } from "../../shared/core/assert.js";
import { refuseViolations, type Violation } from "../../shared/core/errors.js";
import { nearestName } from "./nearest-name.js";

const registry = createFileRegistry(
  fromBinary(FileDescriptorSetSchema, base64Decode(FILE_DESCRIPTOR_SET)),
);

/** Their numbers are checked, all at once and by their real ranges, by `resolveParameters`. */
const CHECKED_LATER = ["renderfarm.v1.RenderParameters", "renderfarm.v1.ClipOverrides"];

/** A JSON object, whatever it holds. */
export type JsonObject = Readonly<Record<string, unknown>>;

/**
 * The fields of a message, in the form that ts-proto's `fromPartial` takes.
 *
 * @param messageName without its package, e.g. "CreateJobRequest"
 * @throws FarmError "invalid-argument" with every unknown field and every value of a wrong type
 */
export function readProtoJson(messageName: string, json: unknown): JsonObject {
  const reader = new ProtoJsonReader();
  const message = reader.message(schemaOf(messageName), json, "");
  refuseViolations(reader.violations);
  return message;
}

/** Whether a field may be given several times in a query. */
export function isListField(messageName: string, name: string): boolean {
  return findField(schemaOf(messageName), name)?.fieldKind === "list";
}

/**
 * A ts-proto message as proto3 JSON, fields with default values included: 64-bit integers become
 * strings, times RFC 3339, bytes base64; what is absent is left out.
 */
export function toProtoJson(value: unknown): unknown {
  if (typeof value === "bigint") return value.toString();
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  if (Array.isArray(value)) return value.map(toProtoJson);
  if (typeof value !== "object" || value === null) return value;
  const fields = Object.entries(value).filter(([, field]) => field !== undefined);
  return Object.fromEntries(fields.map(([name, field]) => [name, toProtoJson(field)]));
}

function schemaOf(messageName: string): DescMessage {
  const schema = registry.getMessage(`renderfarm.v1.${messageName}`);
  assert(schema, `a schema of ${messageName}`);
  return schema;
}

/** Both spellings are legal in a request: `numFrames` and `num_frames`. */
function findField(schema: DescMessage, name: string): DescField | undefined {
  return schema.fields.find((field) => field.jsonName === name || field.name === name);
}

class ProtoJsonReader {
  readonly violations: Violation[] = [];

  message(schema: DescMessage, json: unknown, path: string): JsonObject {
    const result: Record<string, unknown> = {};
    if (typeof json !== "object" || json === null || Array.isArray(json)) {
      this.#refuse(path || "body", `${show(json)} is not an object`);
      return result;
    }
    for (const [name, value] of Object.entries(json)) {
      const at = path === "" ? name : `${path}.${name}`;
      const field = findField(schema, name);
      if (!field) this.#refuseUnknown(schema, name, at);
      else if (value !== null) result[field.localName] = this.#field(field, value, at);
    }
    return result;
  }

  #field(field: DescField, value: unknown, path: string): unknown {
    switch (field.fieldKind) {
      case "message":
        return this.#submessage(field.message, value, path);
      case "enum":
        return this.#enum(field.enum.values, value, path);
      case "scalar":
        return this.#scalar(
          field.scalar,
          value,
          path,
          CHECKED_LATER.includes(field.parent.typeName),
        );
      case "list":
        return this.#list(field, value, path);
      case "map":
        return this.#map(field, value, path);
    }
  }

  #list(field: DescField & { fieldKind: "list" }, value: unknown, path: string): unknown {
    if (!Array.isArray(value)) return this.#refuse(path, `${show(value)} is not a list`);
    return value.map((item, i) => {
      const at = `${path}[${i}]`;
      if (field.listKind === "message") return this.#submessage(field.message, item, at);
      if (field.listKind === "enum") return this.#enum(field.enum.values, item, at);
      return this.#scalar(field.scalar, item, at, false);
    });
  }

  #map(field: DescField & { fieldKind: "map" }, value: unknown, path: string): unknown {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      return this.#refuse(path, `${show(value)} is not an object`);
    }
    const entries = Object.entries(value).map(([key, item]) => {
      const at = `${path}["${key.slice(0, 80)}"]`;
      if (field.mapKind === "message") return [key, this.#submessage(field.message, item, at)];
      if (field.mapKind === "enum") return [key, this.#enum(field.enum.values, item, at)];
      return [key, this.#scalar(field.scalar, item, at, false)];
    });
    return Object.fromEntries(entries);
  }

  #submessage(schema: DescMessage, value: unknown, path: string): unknown {
    if (schema.typeName !== "google.protobuf.Timestamp") return this.message(schema, value, path);
    const isTime = typeof value === "string" && /^\d{4}-\d\d-\d\dT/.test(value);
    const time = new Date(isTime ? value : Number.NaN);
    if (!Number.isNaN(time.getTime())) return time;
    return this.#refuse(path, `${show(value)} is not a time such as 2030-01-31T12:00:00Z`);
  }

  #enum(values: readonly { name: string; number: number }[], value: unknown, path: string) {
    const found = values.find(({ name, number }) => value === name || value === number);
    if (found) return found.name;
    const names = values.filter(({ number }) => number !== 0).map(({ name }) => name);
    return this.#refuse(path, `${show(value)} is not one of ${names.join(", ")}`);
  }

  #scalar(type: ScalarType, value: unknown, path: string, isCheckedLater: boolean): unknown {
    switch (type) {
      case ScalarType.STRING:
        return typeof value === "string" ? value : this.#refuse(path, `${show(value)} is no text`);
      case ScalarType.BOOL:
        if (typeof value === "boolean") return value;
        return this.#refuse(path, `${show(value)} is neither true nor false`);
      case ScalarType.BYTES:
        return typeof value === "string"
          ? Buffer.from(value, "base64")
          : this.#refuse(path, `${show(value)} is no base64`);
      case ScalarType.UINT64:
      case ScalarType.INT64:
        return this.#integer64(type, value, path);
      default:
        return this.#number(type, value, path, isCheckedLater);
    }
  }

  #integer64(type: ScalarType, value: unknown, path: string): unknown {
    const text = typeof value === "number" ? String(value) : value;
    const isWhole = typeof text === "string" && /^-?\d{1,20}$/.test(text);
    const number = isWhole ? BigInt(text) : -1n;
    const bits =
      type === ScalarType.UINT64 ? BigInt.asUintN(64, number) : BigInt.asIntN(64, number);
    if (isWhole && bits === number) {
      // A larger number has lost digits before it came here.
      if (typeof value === "string" || Number.isSafeInteger(value)) return number;
      return this.#refuse(path, `${show(value)} is above 2^53; write it as a text, "..."`);
    }
    return this.#refuse(path, `${show(value)} is not a whole number of 64 bits`);
  }

  #number(type: ScalarType, value: unknown, path: string, isCheckedLater: boolean): unknown {
    const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
    if (typeof number !== "number" || !Number.isFinite(number)) {
      return this.#refuse(path, `${show(value)} is not a number`);
    }
    if (isCheckedLater || type === ScalarType.DOUBLE || type === ScalarType.FLOAT) return number;
    const isUnsigned = type === ScalarType.UINT32 || type === ScalarType.FIXED32;
    const [min, max] = isUnsigned ? [0, 2 ** 32 - 1] : [-(2 ** 31), 2 ** 31 - 1];
    if (Number.isInteger(number) && number >= min && number <= max) return number;
    return this.#refuse(path, `${show(value)} is not a whole number from ${min} to ${max}`);
  }

  #refuseUnknown(schema: DescMessage, name: string, path: string): void {
    const names = schema.fields.map((field) => field.jsonName);
    const near = nearestName(name, [...names, ...schema.fields.map((field) => field.name)]);
    const legal = names.length === 0 ? "there is none" : `legal are ${names.join(", ")}`;
    const hint = near === null ? legal : `did you mean ${near}?`;
    this.#refuse(path.slice(0, 120), `is no field of ${schema.name}; ${hint}`);
  }

  #refuse(field: string, description: string): undefined {
    this.violations.push({ field, description });
  }
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}
