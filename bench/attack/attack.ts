import { join } from "node:path";
import { startMuin } from "../../internal/platform/testing/muin.ts";
import { type Child, startChild } from "../harness/child.ts";
import { describeMachine, type Machine } from "../harness/machine.ts";
import { layOut } from "../harness/table.ts";
import type { Outcome } from "./attack-kit.ts";
import type { AttackersOptions, Play } from "./attackers.ts";
import { createKnownCallers, type KnownCallers, type KnownCalls } from "./known-callers.ts";
import { type Row, rows } from "./rows.ts";

/** How a run is made. */
export interface AttackOptions {
  readonly wanted: (row: Row) => boolean;
  /** Whether attacks have their whole size. */
  readonly whole: boolean;
  /** How long an attack that would go on lasts, in milliseconds. */
  readonly lastingMs: number;
  /** The quiet window before all. */
  readonly quietMs: number;
  /** Plays attacks that last at the same time: shorter, and says less of which one hurt. Default false. */
  readonly together?: boolean;
  /** Told what is going on. */
  readonly report: (line: string) => void;
}

/** An attack as it went; `outcome` is missing of the quiet window. */
export interface AttackRow {
  readonly row: string;
  readonly title: string;
  readonly outcome: Outcome | undefined;
  /** What became of the calls of known callers meanwhile, by kind. */
  readonly known: Readonly<Record<string, KnownCalls>>;
  /** Calls of known callers that were refused or not answered, and what the attack was to meet and did not. */
  readonly faults: readonly string[];
}

/** A run of the suite. */
export interface AttackResult {
  readonly machine: Machine;
  readonly rows: readonly AttackRow[];
}

/** What holds where nobody says otherwise; tests have more room. */
const defaults = {
  MUIN_AUTH_SIGN_UPS_PER_NETWORK_MAX: "30",
  MUIN_AUTH_MAILS_PER_NETWORK_MAX: "30",
  MUIN_AUTH_MAILS_MAX: "2000",
  MUIN_STRANGER_REQUESTS_PER_S: "100",
};

type Attackers = Child<Play, readonly Outcome[]>;

/** Plays hostile peers against a Muin of its own, while known callers call at a steady rate. */
export async function runAttack(options: AttackOptions): Promise<AttackResult> {
  const machine = describeMachine();
  await using cleanUp = new AsyncDisposableStack();
  const muin = cleanUp.use(await startMuin({ env: defaults }));
  const known = await createKnownCallers(muin);
  cleanUp.defer(() => known.close());
  const attackers: Attackers = await startChild(join(import.meta.dir, "attackers.ts"), {
    httpPort: Number(new URL(muin.http).port),
    grpcPort: Number(new URL(`http://${muin.grpc}`).port),
  } satisfies AttackersOptions);
  cleanUp.defer(() => attackers.close());
  const quiet = await known.during(() => Bun.sleep(options.quietMs), { signsIn: false });
  const first: AttackRow = {
    row: "quiet",
    title: "nobody attacks",
    outcome: undefined,
    known: quiet.calls,
    faults: faultsOf(quiet.calls),
  };
  const wanted = rows.filter(options.wanted);
  const together = options.together === true ? wanted.filter(({ lasts }) => lasts) : [];
  const others = wanted.filter((row) => !together.includes(row)).map((row) => [row]);
  const groups = together.length === 0 ? others : [together, ...others];
  const played: AttackRow[] = [first];
  for (const group of groups) {
    const taken = await play(group, known, attackers, options);
    for (const { row, faults } of taken)
      options.report(`  ${row}: ${faults.length === 0 ? "held" : faults.join("; ")}`);
    played.push(...taken);
  }
  return { machine, rows: played };
}

async function play(
  group: readonly Row[],
  known: KnownCallers,
  attackers: Attackers,
  { whole, lastingMs }: AttackOptions,
): Promise<readonly AttackRow[]> {
  const ids = group.map(({ id }) => id);
  const { calls, result } = await known.during(() => attackers.ask({ ids, whole, lastingMs }), {
    signsIn: group.some(({ signsIn }) => signsIn),
  });
  return group.map(({ id, title }, place) => {
    const outcome = result[place];
    return { row: id, title, outcome, known: calls, faults: [...faultsOf(calls), ...(outcome?.faults ?? [])] };
  });
}

/** Every call of a known caller is answered, and none refused. */
export function faultsOf(known: AttackRow["known"]): readonly string[] {
  return Object.entries(known).flatMap(([kind, { answered, refused }]) => {
    const faults = Object.entries(refused).map(([reason, times]) => `known callers' ${kind}: ${times} x ${reason}`);
    if (answered === 0) faults.push(`known callers' ${kind}: none was answered`);
    return faults;
  });
}

/** The run as a table, for a person. */
export function printAttack({ machine, rows: all }: AttackResult): string {
  const kinds = [...new Set(all.flatMap(({ known }) => Object.keys(known)))];
  return [
    `${machine.cores} x ${machine.cpu}, ${machine.memoryGiB} GiB, Bun ${machine.bun}; load average before: ${machine.load}`,
    "attackers, known callers, Muin and its stores share these cores; p99 of the known callers' calls in ms",
    "",
    layOut(
      ["attack", "connections", "sent", "answers", "refused", "closed", "after s", "GOAWAY", ...kinds, "known callers"],
      all.map(({ row, outcome, known, faults }) => [
        row,
        ...(outcome === undefined ? ["", "", "", "", "", "", ""] : cellsOf(outcome)),
        ...kinds.map((kind) => known[kind]?.latencyMs.p99.toFixed(0) ?? ""),
        faults.length === 0 ? "all answered" : "NOT HELD",
      ]),
    ),
    ...all.flatMap(({ row, faults }) => faults.map((fault) => `NOT HELD ${row}: ${fault}`)),
  ].join("\n");
}

function cellsOf({ connections, sent, answers, refused, closed, closedMsMax, goaways }: Outcome): readonly string[] {
  return [
    ...[connections, sent, answers, refused, closed].map(String),
    closedMsMax === undefined ? "" : (closedMsMax / 1000).toFixed(1),
    Object.entries(goaways)
      .map(([code, times]) => `${times} x ${code}`)
      .join(", "),
  ];
}
