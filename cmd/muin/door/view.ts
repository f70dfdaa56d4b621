import type { Clock } from "../../../internal/platform/clock/clock.ts";
import { printFacts } from "../terminal/facts.ts";
import type { Output } from "../terminal/output.ts";
import type { Scene } from "./scene.ts";
import type { Visit, WalkPlan, WalkResult } from "./walk.ts";

/** Shows a walk as it goes on. */
export interface View {
  begin(scene: Scene): void;
  show(this: void, visit: Visit): void;
  end(result: WalkResult): void;
}

/** Lines a second on a terminal: more nobody reads. */
const linesPerSecondMax = 20;

/** Lines for people, of which a terminal shows some at high rates and what all came to below them; for a program a JSON document for each visit. */
export function createView(
  plan: WalkPlan,
  {
    output,
    clock,
    json,
  }: { readonly output: Output; readonly clock: Pick<Clock, "now" | "monotonic">; readonly json: boolean },
): View {
  const startMs = clock.monotonic();
  let [visits, granted, wrong, shown] = [0, 0, 0, 0];
  const bar = (): void => {
    const left = plan.seconds - Math.round((clock.monotonic() - startMs) / 1000);
    output.progress(`${visits} visits  ${granted} granted  ${wrong} not right  ${Math.max(0, left)} s left`);
  };
  return {
    begin: ({ branchId, devices }) => {
      if (!json)
        output.note(
          `branch ${branchId}, ${devices.length} devices: ${plan.rate} visits a second for ${plan.seconds} s`,
        );
    },
    show: (visit) => {
      visits += 1;
      if (visit.answer.kind === "granted") granted += 1;
      if (!visit.right) wrong += 1;
      if (json) {
        output.json(visitJson(visit));
        return;
      }
      const seconds = (clock.monotonic() - startMs) / 1000;
      if (!output.printsToTerminal || shown < linesPerSecondMax * Math.max(1, seconds)) {
        shown += 1;
        output.progress("");
        output.print(lineOf(visit, new Date(clock.now()), output));
      }
      bar();
    },
    end: (result) => {
      output.progress("");
      if (json) output.json(resultJson(result));
      else printResult(result, output);
    },
  };
}

function lineOf({ walker, answer, tookMs, right }: Visit, time: Date, { paint }: Output): string {
  const who = walker.kind === "stranger" ? "a stranger" : `person ${walker.number}`;
  const style = answer.kind === "granted" ? "green" : answer.kind === "denied" ? "red" : "yellow";
  const cells = [
    time.toISOString().slice(11, 23),
    who.padEnd(12),
    paint(style, answer.kind.padEnd(8)),
    answer.reason.padEnd(24),
    `${tookMs.toFixed(1).padStart(7)} ms`,
    right ? "" : paint("yellow", "not right"),
  ];
  return cells.join("  ").trimEnd();
}

function visitJson({ walker, answer, tookMs, right }: Visit): unknown {
  const { kind, number } = walker;
  return {
    [kind === "stranger" ? "stranger" : "person"]: number,
    answer: answer.kind,
    reason: answer.reason,
    right,
    took_ms: Number(tookMs.toFixed(3)),
  };
}

function resultJson(result: WalkResult): unknown {
  return {
    visits: result.visits,
    granted: result.granted,
    denied: result.denied,
    refused: result.refused,
    turned_away: result.turnedAway,
    mistaken: result.mistaken,
    strangers_granted: result.strangersGranted,
    p50_ms: Number(result.p50Ms.toFixed(3)),
    p99_ms: Number(result.p99Ms.toFixed(3)),
    max_ms: Number(result.maxMs.toFixed(3)),
    reasons: result.reasons,
  };
}

function ms(value: number): string {
  return `${value.toFixed(1)} ms`;
}

function printResult(result: WalkResult, output: Output): void {
  const reasons = Object.entries(result.reasons).toSorted(([, one], [, other]) => other - one);
  output.print("");
  printFacts(
    [
      ["visits", String(result.visits)],
      ["granted", String(result.granted)],
      ["denied", `${result.denied}, of them ${result.turnedAway} who are enrolled`],
      ["no decision", result.refused === 0 ? "" : String(result.refused)],
      ["mistaken", `${result.mistaken} entered as somebody else, ${result.strangersGranted} strangers entered`],
      ["reasons", reasons.map(([reason, count]) => `${reason} ${count}`).join(", ")],
      ["p50", ms(result.p50Ms)],
      ["p99", `${ms(result.p99Ms)}, at most ${ms(result.maxMs)}`],
    ],
    output,
  );
}
