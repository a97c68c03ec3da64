/** @file Finds the route of a method and a path. */
import { FarmError } from "../../shared/core/errors.js";
import { HttpRefusal } from "./answers.js";
import type { Route } from "./routes.js";

interface CompiledRoute {
  readonly route: Route;
  readonly pattern: RegExp;
}

export interface Found {
  readonly route: Route;
  readonly path: Readonly<Record<string, string>>;
}

export class Router {
  readonly #routes: readonly CompiledRoute[];

  constructor(routes: readonly Route[]) {
    this.#routes = routes.map((route) => {
      const pattern = route.path.replace(/\{(\w+)\}/g, "(?<$1>[^/:]+)");
      return { route, pattern: new RegExp(`^${pattern}$`) };
    });
  }

  /** @throws FarmError "not-found"; HttpRefusal 405 when the path has other methods */
  find(method: string, pathname: string): Found {
    const fitting = this.#routes.filter(({ pattern }) => pattern.test(pathname));
    if (fitting.length === 0) {
      throw new FarmError("not-found", `there is no '${pathname.slice(0, 80)}'; see docs/http.md`);
    }
    const found = fitting.find(
      ({ route }) => route.method === (method === "HEAD" ? "GET" : method),
    );
    if (!found) {
      const methods = fitting.map(({ route }) => route.method).join(", ");
      throw new HttpRefusal(405, `${method.slice(0, 20)} is not possible here; legal: ${methods}`);
    }
    return { route: found.route, path: segmentsOf(found.pattern.exec(pathname)) };
  }
}

function segmentsOf(match: RegExpExecArray | null): Record<string, string> {
  const given = Object.entries(match?.groups ?? {});
  try {
    return Object.fromEntries(given.map(([name, text]) => [name, decodeURIComponent(text)]));
  } catch (error) {
    throw new FarmError("invalid-argument", "the path has a broken % escape", { cause: error });
  }
}
