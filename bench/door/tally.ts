import { closedLoop, openLoop, type Send } from "../harness/load.ts";
import type { Probe } from "./people.ts";
import type { Answers, Load } from "./subject.ts";

/** Calls that are under way at a time at most. */
export const callersMax = 64;

/** Says whose face it is: the person's number, or `null`. A caller has one call under way at a time. */
export type Ask = (probe: Probe, faces: number, caller: number) => Promise<number | null>;

/** Sends probes, one after the other and then from the first again, and holds the answers against what is right. */
export async function runLoad(probes: readonly Probe[], ask: Ask, load: Load): Promise<Answers> {
  const { faces, ratePerS, windowMs } = load;
  let [next, known, recognised, wrong] = [0, 0, 0, 0];
  const send: Send = async (caller) => {
    const probe = probes[next % probes.length] as Probe;
    next += 1;
    const answer = await ask(probe, faces, caller);
    const right = probe.person[faces];
    if (right !== null) known += 1;
    if (answer !== right) wrong += 1;
    else if (right !== null) recognised += 1;
    return 1;
  };
  const result =
    ratePerS === undefined ? await closedLoop(1, windowMs, send) : await openLoop(ratePerS, callersMax, windowMs, send);
  if (result.latencyMs === undefined) throw new Error("a load without latencies");
  return {
    latencyMs: result.latencyMs,
    calls: result.acknowledged,
    known,
    recognised,
    wrong,
    refused: result.refused,
  };
}
