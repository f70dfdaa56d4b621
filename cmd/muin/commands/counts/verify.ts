import {
  type CountCheck,
  CountCheckSchema,
  CountCheckState,
  CountManagementService,
} from "../../../../internal/gen/muin/count/v1/count_management_service_pb.ts";
import { plainMessage } from "../../remote/plain-message.ts";
import { remoteCommand, type Remote } from "../../remote/remote-command.ts";
import { Failure } from "../../terminal/failure.ts";
import { durationMs } from "../../terminal/values.ts";

/** Counts asked for at once. */
const pageSize = 1000;

/** Pause before the check is made again for Counts whose events are on their way, in milliseconds. */
const againMs = 200;

/** Rows shown of Counts that are not equal. */
const shownMax = 50;

/** What the check of all Counts came to. */
interface Tally {
  equal: number;
  behind: number;
  different: number;
  /** Counts that are watched since a later revision than the first. */
  watchedSince: number;
  /** The first of those that are not equal. */
  readonly unequal: CountCheck[];
}

/** `muin counts verify`. */
export const verify = remoteCommand({
  name: "verify",
  description: "compare each Count's value with the sum of its change events; exits with 1 when one differs",
  options: {
    prefix: { value: "text", help: "only ids that begin with this" },
    wait: {
      value: "time",
      help: "how long to wait for events that are on their way",
      parse: durationMs,
      default: 5000,
      defaultText: "5s",
    },
  },
  examples: ["muin counts verify", "muin counts verify --prefix status. --wait 30s --json"],
  run: async ({ prefix = "", wait: waitMs, json }, muin) => {
    const { output } = muin;
    const tally: Tally = { equal: 0, behind: 0, different: 0, watchedSince: 0, unequal: [] };
    for await (const check of checksOf(prefix, waitMs, muin)) {
      if (json === true) output.json(plainMessage(CountCheckSchema, check));
      add(check, tally);
    }
    const { equal, behind, different, watchedSince, unequal } = tally;
    if (json !== true) {
      if (unequal.length > 0) output.table(header, unequal.map(rowOf));
      output.print(`${equal} equal, ${behind} behind, ${different} different`);
      if (watchedSince > 0) output.note(`watched only since a later revision than the first: ${watchedSince}`);
    }
    if (different > 0) {
      throw new Failure("failed", "a Count's value is not the sum of its changes: this must not happen");
    }
    if (behind > 0) throw new Failure("failed", `not all change events have arrived; look at "muin status"`);
  },
});

/** The check of each Count, made again while one of its page is behind and time is left. */
async function* checksOf(
  prefix: string,
  waitMs: number,
  { client, clock, signal }: Remote,
): AsyncGenerator<CountCheck> {
  const management = client(CountManagementService);
  const deadline = clock.monotonic() + waitMs;
  let pageToken = "";
  do {
    const request = { pageSize, pageToken, prefix };
    let page = await management.verifyCounts(request);
    while (page.checks.some(isBehind) && clock.monotonic() < deadline) {
      await clock.sleep(againMs, signal);
      page = await management.verifyCounts(request);
    }
    yield* page.checks;
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
}

function add(check: CountCheck, tally: Tally): void {
  if (check.sinceRevision > 0n) tally.watchedSince++;
  if (check.state === CountCheckState.EQUAL) {
    tally.equal++;
    return;
  }
  if (isBehind(check)) tally.behind++;
  else tally.different++;
  if (tally.unequal.length < shownMax) tally.unequal.push(check);
}

function isBehind(check: CountCheck): boolean {
  return check.state === CountCheckState.BEHIND;
}

const header = ["COUNT", "VERDICT", "VALUE", "REVISION", "SUM", "SUM REVISION", "WATCHED SINCE"] as const;

function rowOf(check: CountCheck): readonly string[] {
  return [
    check.countId,
    stateWords[check.state] ?? "unknown",
    String(check.value),
    String(check.revision),
    String(check.sum),
    String(check.sumRevision),
    String(check.sinceRevision),
  ];
}

const stateWords: Readonly<Record<number, string>> = {
  [CountCheckState.EQUAL]: "equal",
  [CountCheckState.BEHIND]: "behind",
  [CountCheckState.DIFFERENT]: "different",
  [CountCheckState.GAP]: "gap",
};
