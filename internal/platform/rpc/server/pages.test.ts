import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { systemClock } from "../../clock/clock.ts";
import { importMutant } from "../../testing/mutant.ts";
import * as shared from "./shared-page.ts";
import * as real from "../testdata/start-probe-server.ts";

type Start = Pick<typeof real, "startProbeServer">;

/** What many who ask for a page at once, then others within a second and after it, are shown; and how the first rendering failed. */
async function shown({ createSharedPage }: typeof shared): Promise<string[]> {
  let nowMs = 0;
  let rendered = 0;
  const page = createSharedPage(
    async () => {
      rendered += 1;
      await Promise.resolve();
      if (rendered === 1) throw new Error("the first one fails");
      return new Response(`page ${rendered}`, { status: 203, headers: { "x-page": "1" } });
    },
    { ...systemClock, monotonic: () => nowMs },
  );
  const get = async (): Promise<Response> => page(new Request("http://muin/"));
  const texts = [await get().then(String, String)];
  const read = async (): Promise<void> => {
    const pages = await Promise.all(Array.from({ length: 10 }, get));
    const all = pages.map(async (each) => `${each.status} ${each.headers.get("x-page")} ${await each.text()}`);
    texts.push(...new Set(await Promise.all(all)));
  };
  await read();
  nowMs = 999;
  await read();
  nowMs = 1000;
  await read();
  return texts;
}

/** How many of 150 pages a peer gets within a second, what one of another peer, a probe and the next second come to. */
async function got({ startProbeServer }: Start) {
  let nowMs = 0;
  await using server = await startProbeServer({
    clock: { ...systemClock, monotonic: () => nowMs },
    extraRoutes: { "/": () => new Response("home") },
    trustedHops: 1,
  });
  const get = (path: string, peer = "192.0.2.1") =>
    fetch(server.addresses.http + path, { headers: { "x-forwarded-for": peer } });
  const statuses: number[] = [];
  for (let count = 0; count < 150; count += 1) {
    const { status } = await get(count % 2 === 0 ? "/" : "/openapi.json");
    if (status < 400) statuses.push(status);
  }
  const refused = await get("/");
  const others = [await get("/", "192.0.2.2"), await get("/readyz"), await get("/healthz")];
  nowMs = 1000;
  others.push(await get("/"));
  return {
    got: statuses.length,
    refused: [refused.status, refused.headers.get("retry-after"), /"reason":"(\w+)"/.exec(await refused.text())?.[1]],
    others: others.map(({ status }) => status),
  };
}

describe("pages", () => {
  test("that cost something are rendered once a second, for all who ask; one that failed is not kept", async () => {
    expect(await shown(shared)).toEqual(["Error: the first one fails", "203 1 page 2", "203 1 page 2", "203 1 page 3"]);
  });

  test("are bounded per peer, and probes are not", async () => {
    expect(await got(real)).toEqual({
      got: 100,
      refused: [429, "1", "PEER_OVERLOADED"],
      others: [200, 200, 200, 200],
    });
  });

  test.each([
    ["rendered for each", "rendering ??= render(request)", "render(request)"],
    ["kept for ever", "clock.monotonic() < answer.goodUntilMs", "true"],
    ["not kept", "clock.monotonic() < answer.goodUntilMs", "false"],
  ])("a mutant whose pages are %s is noticed", async (_name, from, to) => {
    const mutant = await importMutant<typeof shared>(join(import.meta.dir, "shared-page.ts"), from, to);
    expect(await shown(mutant)).not.toEqual(await shown(shared));
  });

  test.each([
    ["no bound", "return count <= perPeerMax", "return true"],
    ["one bound for all", "networkOf(address)", `""`],
    ["a bound for ever", "now >= endsMs", "endsMs === 0"],
  ])("a mutant with %s is noticed", async (_name, from, to) => {
    const through = [join(import.meta.dir, "../testdata/start-probe-server.ts")];
    const mutant = await importMutant<Start>(join(import.meta.dir, "page-quota.ts"), from, to, through);
    expect(await got(mutant)).not.toEqual(await got(real));
  });
});
