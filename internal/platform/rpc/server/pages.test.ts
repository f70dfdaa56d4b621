import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { systemClock } from "../../clock/clock.ts";
import { importMutant } from "../../testing/mutant.ts";
import * as shared from "./shared-page.ts";

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

describe("pages", () => {
  test("that cost something are rendered once a second, for all who ask; one that failed is not kept", async () => {
    expect(await shown(shared)).toEqual(["Error: the first one fails", "203 1 page 2", "203 1 page 2", "203 1 page 3"]);
  });

  test.each([
    ["rendered for each", "rendering ??= render(request)", "render(request)"],
    ["kept for ever", "clock.monotonic() < answer.goodUntilMs", "true"],
    ["not kept", "clock.monotonic() < answer.goodUntilMs", "false"],
  ])("a mutant whose pages are %s is noticed", async (_name, from, to) => {
    const mutant = await importMutant<typeof shared>(join(import.meta.dir, "shared-page.ts"), from, to);
    expect(await shown(mutant)).not.toEqual(await shown(shared));
  });
});
