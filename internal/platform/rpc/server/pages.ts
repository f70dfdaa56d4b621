/** Answers a request that is no RPC: a page, a file, metrics. */
export type Page = (request: Request) => Response | Promise<Response>;

/** Pages by path. */
export interface Pages {
  /** The page at exactly this path. */
  at(path: string): Page | undefined;
  /** The page that takes all below a path above this one. */
  below(path: string): Page | undefined;
}

/** Files pages under their paths. One that ends in "/*" takes all below it. */
export function createPages(routes: Readonly<Record<string, Page>>): Pages {
  const exact = new Map<string, Page>();
  const prefixes: [prefix: string, page: Page][] = [];
  for (const [path, page] of Object.entries(routes)) {
    if (path.endsWith("/*")) prefixes.push([path.slice(0, -1), page]);
    else exact.set(path, page);
  }
  return {
    at: (path) => exact.get(path),
    below: (path) => prefixes.find(([prefix]) => path.startsWith(prefix))?.[1],
  };
}

/** An answer in plain text. */
export function textPage(status: number, body: string): Response {
  return new Response(`${body}\n`, { status, headers: { "content-type": "text/plain; charset=utf-8" } });
}
