/** @file JSON out of a request: its body, its query and its path, each bounded and checked. */
import type { IncomingMessage } from "node:http";
import { FarmError, refuseViolations } from "../../shared/core/errors.js";
import { parseStrictJson } from "../../shared/core/strict-json.js";
import { HttpRefusal } from "./answers.js";
import { isListField, type JsonObject, readProtoJson } from "./proto-json.js";

/** Bytes of one JSON body: a job of a thousand pictures takes a quarter of it. */
const JSON_BYTES_MAX = 1024 * 1024;
const JSON_DEPTH_MAX = 16;

/** Where the fields of a request are. */
export interface RequestPlace {
  /** Name of its message, without the package. */
  readonly message: string;
  /** Fields that the path holds. */
  readonly path: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
}

/**
 * The fields of a request, from its path and its query or body.
 *
 * @throws FarmError "invalid-argument" naming every wrong field
 */
export async function readRequest(
  request: IncomingMessage,
  place: RequestPlace,
): Promise<JsonObject> {
  const { message, path, query } = place;
  const given = request.method === "POST" ? await readJsonBody(request) : fromQuery(message, query);
  const twice = Object.keys(path).filter((name) => name in given);
  refuseViolations(twice.map((field) => ({ field, description: "is given by the path already" })));
  return readProtoJson(message, { ...given, ...path });
}

/** A list field may be given several times; everything else once. */
function fromQuery(message: string, query: URLSearchParams): JsonObject {
  const fields: Record<string, unknown> = {};
  for (const name of new Set(query.keys())) {
    const values = query.getAll(name).map(fromQueryText);
    if (isListField(message, name)) fields[name] = values;
    else fields[name] = values.length === 1 ? values[0] : values;
  }
  return fields;
}

function fromQueryText(text: string): string | boolean {
  return text === "true" || text === "false" ? text === "true" : text;
}

/** An empty body is an empty object: `curl -X POST` of a verb needs no `-d`. */
async function readJsonBody(request: IncomingMessage): Promise<JsonObject> {
  const bytes = await readBytes(request);
  if (bytes.length === 0) return {};
  const type = request.headers["content-type"] ?? "";
  if (!/^application\/json\s*(;|$)/i.test(type)) {
    throw new HttpRefusal(415, `the body is "${type.slice(0, 60)}", not application/json`);
  }
  const json = parse(bytes.toString("utf8"));
  if (typeof json === "object" && json !== null && !Array.isArray(json)) return json as JsonObject;
  throw new FarmError("invalid-argument", "the body is not a JSON object");
}

function parse(text: string): unknown {
  try {
    return parseStrictJson(text, { depthMax: JSON_DEPTH_MAX });
  } catch (error) {
    const reason = (error as SyntaxError).message.slice(0, 200);
    throw new FarmError("invalid-argument", `the body is not JSON: ${reason}`, { cause: error });
  }
}

async function readBytes(request: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of request as AsyncIterable<Buffer>) {
    size += piece.length;
    if (size > JSON_BYTES_MAX) {
      throw new HttpRefusal(413, `the body is longer than ${JSON_BYTES_MAX} bytes`);
    }
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}
