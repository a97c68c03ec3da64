/** @file The built console, held in memory: a few files that never change while this process runs. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { join, relative, sep } from "node:path";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { FarmError } from "../../shared/core/errors.js";
import { contentTypeOf } from "./content-types.js";

interface ConsoleFile {
  readonly bytes: Buffer;
  readonly contentType: string;
  readonly etag: string;
  /** Its name holds a hash of its content. */
  readonly isHashed: boolean;
  /** Compressed at the first request for it. */
  zipped: Promise<Buffer> | null;
}

const compress = promisify(gzip);

export class ConsoleFiles {
  readonly #files = new Map<string, ConsoleFile>();

  /** @param folder of the build; one that does not exist has no files */
  constructor(folder: string) {
    for (const path of filesIn(folder)) {
      const bytes = readFileSync(join(folder, path));
      this.#files.set(`/${path.split(sep).join("/")}`, {
        bytes,
        contentType: contentTypeOf(path),
        etag: `"${createHash("sha256").update(bytes).digest("hex").slice(0, 32)}"`,
        isHashed: path.startsWith(`assets${sep}`),
        zipped: null,
      });
    }
  }

  /** @throws FarmError "not-found" */
  async send(path: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const file = this.#files.get(path === "/" ? "/index.html" : path);
    if (!file) {
      const isUnbuilt = this.#files.size === 0;
      const hint = isUnbuilt ? "the console is not built: npm run build" : "the page is at /";
      throw new FarmError("not-found", `there is no '${path.slice(0, 80)}'; ${hint}`);
    }
    response.setHeader("ETag", file.etag);
    response.setHeader("Vary", "Accept-Encoding");
    response.setHeader(
      "Cache-Control",
      file.isHashed ? "public, max-age=31536000, immutable" : "no-cache",
    );
    if (request.headers["if-none-match"] === file.etag) {
      response.writeHead(304).end();
      return;
    }
    const isZipped = /\bgzip\b/.test(String(request.headers["accept-encoding"] ?? ""));
    if (isZipped) file.zipped ??= compress(file.bytes);
    const body = isZipped && file.zipped ? await file.zipped : file.bytes;
    if (isZipped) response.setHeader("Content-Encoding", "gzip");
    response.writeHead(200, { "Content-Type": file.contentType, "Content-Length": body.length });
    response.end(request.method === "HEAD" ? undefined : body);
  }
}

function filesIn(folder: string): string[] {
  try {
    return readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => relative(folder, join(entry.parentPath, entry.name)));
  } catch {
    return []; // said when somebody asks for a file
  }
}
