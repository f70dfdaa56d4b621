import type { Clock } from "../../../internal/platform/clock/clock.ts";

/** Somebody who comes to the door: the number of a person who is enrolled, or of a stranger. */
export interface Walker {
  readonly kind: "enrolled" | "stranger";
  readonly number: number;
  /** Which photograph of theirs the device takes. */
  readonly photograph: number;
}

/** What the door said. */
export type Answer =
  | { readonly kind: "granted"; readonly memberId: string; readonly reason: string }
  | { readonly kind: "denied"; readonly reason: string }
  /** No decision: the reason of the error. */
  | { readonly kind: "refused"; readonly reason: string };

/** One who came, and what became of it. */
export interface Visit {
  readonly walker: Walker;
  readonly answer: Answer;
  /** From the moment at which they were due, in milliseconds: a door that is late counts as slow. */
  readonly tookMs: number;
  /** Whether the answer is the right one: who is enrolled enters as themselves, a stranger does not. */
  readonly right: boolean;
}

/** What came of a walk. */
export interface WalkResult {
  readonly visits: number;
  readonly granted: number;
  readonly denied: number;
  readonly refused: number;
  /** Enrolled people for whom the door stayed closed. */
  readonly turnedAway: number;
  /** People who entered as somebody else. */
  readonly mistaken: number;
  /** Strangers who entered. */
  readonly strangersGranted: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** How often each reason was given. */
  readonly reasons: Readonly<Record<string, number>>;
}

/** Visits under way at once: a door that answers no more holds the walk up instead of the memory. */
const underWayMax = 1000;

/** What decides who comes when. */
export interface WalkPlan {
  readonly seed: number;
  readonly people: number;
  /** Visits a second. */
  readonly rate: number;
  readonly seconds: number;
  /** Share of visits by strangers. */
  readonly strangers: number;
}

/**
 * Has people come to a door at a steady rate, whatever the door takes (an open loop). Ends early, with what there is, when the signal is
 * aborted.
 */
export async function walk(
  plan: WalkPlan,
  deps: {
    readonly clock: Pick<Clock, "monotonic" | "sleep">;
    readonly signal: AbortSignal;
    readonly ask: (walker: Walker) => Promise<Answer>;
    /** The id by which an enrolled person enters. */
    readonly memberIdOf: (person: number) => string;
    readonly onVisit: (visit: Visit) => void;
  },
): Promise<WalkResult> {
  const { clock, signal } = deps;
  const visits: Visit[] = [];
  const underWay = new Set<Promise<void>>();
  const visitOf = async (walker: Walker, dueMs: number): Promise<void> => {
    const answer = await deps.ask(walker);
    const tookMs = clock.monotonic() - dueMs;
    const visit = { walker, answer, tookMs, right: isRight(walker, answer, deps.memberIdOf) };
    visits.push(visit);
    deps.onVisit(visit);
  };
  const start = clock.monotonic();
  const total = Math.max(1, Math.round(plan.rate * plan.seconds));
  for (let index = 0; index < total && !signal.aborted; index++) {
    const dueMs = start + (1000 * index) / plan.rate;
    const waitMs = dueMs - clock.monotonic();
    if (waitMs > 0) await clock.sleep(waitMs, signal).catch(() => undefined); // Aborted: the loop's condition tells.
    if (signal.aborted) break;
    while (underWay.size >= underWayMax) await Promise.race(underWay);
    const walker = walkerOf(plan, index);
    const visit = visitOf(walker, dueMs);
    underWay.add(visit);
    void visit.finally(() => underWay.delete(visit)).catch(() => undefined); // Thrown to whoever waits below.
  }
  await Promise.all(underWay);
  return resultOf(visits, deps.memberIdOf);
}

/** Who comes as the `index`-th. */
export function walkerOf({ seed, people, strangers }: WalkPlan, index: number): Walker {
  const photograph = 1 + index; // The one that was enrolled is 0.
  return chanceOf(seed, "stranger", index) < strangers
    ? { kind: "stranger", number: Math.floor(chanceOf(seed, "which stranger", index) * strangersMax), photograph }
    : { kind: "enrolled", number: Math.floor(chanceOf(seed, "who", index) * people), photograph };
}

/** How many strangers there are. */
const strangersMax = 1_000_000;

function chanceOf(seed: number, what: string, index: number): number {
  return Bun.hash.xxHash32(`${seed} ${what} ${index}`) / 2 ** 32;
}

function isRight(walker: Walker, answer: Answer, memberIdOf: (person: number) => string): boolean {
  if (walker.kind === "stranger") return answer.kind !== "granted";
  return answer.kind === "granted" && answer.memberId === memberIdOf(walker.number);
}

function resultOf(visits: readonly Visit[], memberIdOf: (person: number) => string): WalkResult {
  const count = (is: (visit: Visit) => boolean): number => visits.filter(is).length;
  const took = visits.map(({ tookMs }) => tookMs).toSorted((one, other) => one - other);
  const quantile = (share: number): number => took[Math.min(took.length - 1, Math.floor(share * took.length))] ?? 0;
  const reasons: Record<string, number> = {};
  for (const { answer } of visits) reasons[answer.reason] = (reasons[answer.reason] ?? 0) + 1;
  return {
    visits: visits.length,
    granted: count(({ answer }) => answer.kind === "granted"),
    denied: count(({ answer }) => answer.kind === "denied"),
    refused: count(({ answer }) => answer.kind === "refused"),
    turnedAway: count(({ walker, answer }) => walker.kind === "enrolled" && answer.kind === "denied"),
    mistaken: count(
      ({ walker, answer }) =>
        walker.kind === "enrolled" && answer.kind === "granted" && answer.memberId !== memberIdOf(walker.number),
    ),
    strangersGranted: count(({ walker, answer }) => walker.kind === "stranger" && answer.kind === "granted"),
    p50Ms: quantile(0.5),
    p99Ms: quantile(0.99),
    maxMs: took.at(-1) ?? 0,
    reasons,
  };
}
