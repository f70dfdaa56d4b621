import type { ProcessStatus } from "./process-status.ts";

/** What the status page shows beside the status. */
export interface StatusPageOptions {
  readonly status: ProcessStatus;
  /** Address of the HTTP port, such as "http://127.0.0.1:8080". */
  readonly http: string;
  /** Address of the gRPC port, such as "127.0.0.1:9090". */
  readonly grpc: string;
}

/** Answers with a page for people: what runs, whether it is well, and what to try next. No scripts, nothing secret. */
export function statusPage({ status, http, grpc }: StatusPageOptions): Response {
  const nonce = crypto.randomUUID();
  const ready = status.services.filter((service) => service.ready).length;
  const html = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="10">
<title>Muin</title>
<link rel="icon" href="data:,">
<style nonce="${nonce}">${style}</style>
</head>
<body>
<main>
<header>
<h1>Muin <small>무인</small></h1>
<p class="state ${status.ready ? "good" : "bad"}">${status.ready ? readyText(status) : `${ready} of ${status.services.length} services are ready`}</p>
</header>
${notices("Degraded", status.degraded)}${notices("To set right", status.notices)}<section>
<h2>Services</h2>
${table(
  ["Service", "State", ""],
  status.services.map((service) => [service.name, mark(service.ready, "ready", "not ready"), service.detail]),
)}
</section>
<section>
<h2>Stores</h2>
${table(
  ["Store", "Kind", "State", ""],
  status.stores.map((store) => [
    store.name,
    `${store.kind === "postgres" ? "PostgreSQL" : "Redis"} ${store.serverVersion}`.trimEnd(),
    mark(store.reachable, "reachable", "away"),
    store.detail,
  ]),
)}
</section>
${eventsSection(status)}
<section>
<h2>Try it</h2>
<p>The demo key is <code>api_key</code> in the data folder's <code>credentials.json</code>.</p>
<pre>export MUIN_API_KEY=muin_…
curl -H "Authorization: Bearer $MUIN_API_KEY" -d '{"display_name":"Visits"}' \\
  -H 'Content-Type: application/json' '${escape(http)}/api/v1/count-infos?count_id=visits'
curl -H "Authorization: Bearer $MUIN_API_KEY" -X POST ${escape(http)}/api/v1/counts/visits/increment
curl -H "Authorization: Bearer $MUIN_API_KEY" ${escape(http)}/api/v1/counts/visits</pre>
<p>gRPC with reflection listens on <code>${escape(grpc)}</code>.</p>
</section>
<footer>
<a href="/metrics">Metrics</a> <a href="/readyz">Readiness</a> <a href="${escape(http)}/openapi.json">OpenAPI</a>
<a href="${escape(http)}/.well-known/jwks.json">Keys</a> <span>Muin ${escape(status.version)}, time zones ${escape(status.zoneRulesVersion)}</span>
</footer>
</main>
</body>
</html>
`;
  return new Response(html, {
    headers: {
      "content-type": "text/html; charset=utf-8",
      "cache-control": "no-store",
      "content-security-policy": `default-src 'none'; style-src 'nonce-${nonce}'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
      "referrer-policy": "no-referrer",
      "x-content-type-options": "nosniff",
    },
  });
}

/** How events leave their services, and how they arrive. */
function eventsSection(status: ProcessStatus): string {
  return `<section>
<h2>Events</h2>
${table(
  ["Outbox", "Waiting", "Oldest", "Parked"],
  status.outboxes.map(({ service, depth, ageMs, parked }) => [
    service,
    depth.toString(),
    depth === 0n ? "" : `${ageMs / 1000n} s`,
    parked === 0n ? "0" : mark(false, "", `${parked}: see muin outbox list`),
  ]),
)}
${table(
  ["Consumer", "Topic", "Waiting", "Dead letters"],
  status.consumers.map((consumer) => [
    consumer.service,
    consumer.topic,
    consumer.lost ? mark(false, "", "lost: is being rebuilt") : consumer.lag.toString(),
    consumer.deadLetters.toString(),
  ]),
)}
</section>`;
}

/** Cells are text, but for those made by `mark`. */
type Cell = string | { readonly html: string };

function mark(good: boolean, yes: string, no: string): Cell {
  return { html: `<span class="${good ? "good" : "bad"}">${escape(good ? yes : no)}</span>` };
}

function readyText({ degraded }: ProcessStatus): string {
  return degraded.length === 0 ? "Everything is ready" : "Everything is ready, and degraded";
}

function notices(title: string, texts: readonly string[]): string {
  if (texts.length === 0) return "";
  const items = texts.map((text) => `<p class="bad">${escape(text)}</p>`).join("");
  return `<section>\n<h2>${escape(title)}</h2>\n${items}\n</section>\n`;
}

function table(head: readonly string[], rows: readonly (readonly Cell[])[]): string {
  if (rows.length === 0) return "<p>None.</p>";
  const cell = (value: Cell): string => (typeof value === "string" ? escape(value) : value.html);
  return `<table><thead><tr>${head.map((name) => `<th scope="col">${escape(name)}</th>`).join("")}</tr></thead><tbody>${rows
    .map((row) => `<tr>${row.map((value) => `<td>${cell(value)}</td>`).join("")}</tr>`)
    .join("")}</tbody></table>`;
}

function escape(value: string): string {
  return Bun.escapeHTML(value);
}

const style = `
:root { color-scheme: light dark; --ink: #1b2330; --dim: #5d6878; --line: #dfe4ea; --card: #ffffff; --back: #f4f6f8; --good: #0b7a4b; --bad: #b42318; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e7ebf0; --dim: #9aa5b4; --line: #2c3542; --card: #171d26; --back: #0f141b; --good: #4ecb92; --bad: #ff8a7a; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 2rem 1rem 3rem; display: grid; gap: 1rem; }
header { display: flex; flex-wrap: wrap; align-items: baseline; justify-content: space-between; }
h1 { font-size: 1.6rem; margin: 0; } h1 small { color: var(--dim); font-weight: 400; }
h2 { font-size: 1rem; margin: 0 0 .5rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: 1rem 1.2rem; overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 500; color: var(--dim); font-size: .85rem; }
th, td { padding: .3rem 1rem .3rem 0; border-bottom: 1px solid var(--line); } tr:last-child td { border-bottom: 0; }
.good { color: var(--good); } .bad { color: var(--bad); font-weight: 600; } .state { margin: 0; font-weight: 600; }
pre { margin: .5rem 0; padding: .8rem; background: var(--back); border-radius: .4rem; overflow-x: auto; font-size: .85rem; }
footer { display: flex; flex-wrap: wrap; gap: 1.2rem; color: var(--dim); font-size: .9rem; } footer span { margin-left: auto; }
a { color: inherit; }
`;
