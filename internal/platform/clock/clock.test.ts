import { expect, test } from "bun:test";
import { join } from "node:path";
import { caught, importMutant } from "../testing/mutant.ts";
import * as real from "./clock.ts";

type Clocks = Pick<typeof real, "awake" | "systemClock">;

/** Keeps this process from running for 1.5 s out of a sleep, and looks when it ends. */
async function sleepsOnAfterABlock({ awake, systemClock }: Clocks): Promise<void> {
  const beganMs = performance.now();
  const slept = awake(systemClock).sleep(600);
  await turn();
  while (performance.now() < beganMs + 1500);
  await slept;
  expect(performance.now() - beganMs).toBeGreaterThan(2000);
}

/** Keeps this process from running again and again, for as long as a sleep takes. */
async function endsThoughBlocked({ awake, systemClock }: Clocks): Promise<void> {
  const beganMs = performance.now();
  const slept = awake(systemClock).sleep(300);
  const over = slept.then(() => false);
  while (await Promise.race([over, turn()])) {
    const untilMs = performance.now() + 600;
    while (performance.now() < untilMs);
    if (performance.now() - beganMs > 6000) break;
  }
  expect(performance.now() - beganMs).toBeLessThan(6000);
}

test("time in which the process could not run does not count among that awake", async () => {
  await sleepsOnAfterABlock(real);
  await expectCaught("if (tookMs < 2 * lookMs) leftMs", "if (tookMs >= 0) leftMs", sleepsOnAfterABlock);
});

test("a process that can hardly run waits for three times as long at the most", async () => {
  await endsThoughBlocked(real);
  await expectCaught("awakeShareMax * ms", "awakeShareMax * ms * 1000", endsThoughBlocked);
});

test("a clock without time awake counts all time", async () => {
  const slept: number[] = [];
  await real.awake({ sleep: async (ms) => void slept.push(ms) }).sleep(7);
  expect(slept).toEqual([7]);
});

function turn(): Promise<boolean> {
  return new Promise((resolve) => void setImmediate(() => resolve(true)));
}

async function expectCaught(from: string, to: string, check: (clocks: Clocks) => Promise<void>): Promise<void> {
  const mutant = await importMutant<Clocks>(join(import.meta.dir, "clock.ts"), from, to);
  await caught(() => check(mutant));
}
