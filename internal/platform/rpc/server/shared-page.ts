import type { Clock } from "../../clock/clock.ts";
import type { Page } from "./pages.ts";

/** How long an answer is good, in milliseconds. */
const goodMs = 1000;

/** What all who ask get. */
interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Uint8Array<ArrayBuffer>;
  /** Moment on the clock's monotonic scale, in milliseconds. */
  readonly goodUntilMs: number;
}

/**
 * A page that is rendered once a second at the most, however many ask for it: all get the same answer, whatever else they sent. A
 * rendering that fails is not kept.
 */
export function createSharedPage(page: Page, clock: Clock): Page {
  let answer: Answer | undefined;
  let rendering: Promise<Answer> | undefined;
  const render = async (request: Request): Promise<Answer> => {
    try {
      const response = await page(request);
      const { status, headers } = response;
      answer = { status, headers, body: await response.bytes(), goodUntilMs: clock.monotonic() + goodMs };
      return answer;
    } finally {
      rendering = undefined;
    }
  };
  return async (request) => {
    const isGood = answer !== undefined && clock.monotonic() < answer.goodUntilMs;
    const { status, headers, body } = isGood ? answer! : await (rendering ??= render(request));
    return new Response(body, { status, headers });
  };
}
