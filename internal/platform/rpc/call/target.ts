/** What Bun resolves in a path where it can parse the URL, and leaves where it cannot. */
const unresolved = /\/(?:\.|%2e)|\\|[^!-~]/i;

/** Path of a request's URL: the same whatever its host. */
export function pathOf(url: string): string {
  const start = targetStart(url);
  const query = url.indexOf("?", start);
  const path = query < 0 ? url.slice(start) : url.slice(start, query);
  return unresolved.test(path) ? new URL(`http://localhost${path}`).pathname : path;
}

/** A request's URL with a host that every parser takes: that of the request, such as `a:99999`, may be none. */
export function parsableUrl(url: string): string {
  return `http://localhost${url.slice(targetStart(url))}`;
}

/** Where path and query begin. Bun gives them alone where there is no host, or one that no URL has. */
function targetStart(url: string): number {
  return url.startsWith("/") ? 0 : url.indexOf("/", url.indexOf("//") + 2);
}
