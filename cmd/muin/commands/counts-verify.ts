import type { Command } from "commander";
import {
  type CountCheck,
  CountCheckSchema,
  CountCheckState,
  CountManagementService,
} from "../../../internal/gen/muin/count/v1/count_management_service_pb.ts";
import type { Cli } from "../cli.ts";
import { connect } from "../remote/connection.ts";
import { Failure } from "../terminal/failure.ts";
import { durationMs, examples, remote, type RemoteOptions } from "../terminal/options.ts";
import { plainMessage } from "../remote/plain-message.ts";

interface VerifyOptions extends RemoteOptions {
  readonly prefix?: string;
  readonly wait: number;
}

/** Counts asked for at once. */
const pageSize = 1000;

/** Pause before the check is made again for Counts whose events are on their way, in milliseconds. */
const againMs = 200;

/** Rows shown of Counts that are not equal. */
const shownMax = 50;

/** Registers `counts verify`. */
export function registerCountsVerify(counts: Command, cli: Cli): void {
  const command = remote(counts.command("verify"))
    .description("compare each Count's value with the sum of its change events; exits with 1 when one differs")
    .option("--prefix <text>", "only ids that begin with this")
    .option("--wait <time>", "how long to wait for events that are on their way", durationMs, 5000)
    .action(async (options: VerifyOptions) => {
      const { client } = await connect(options, cli.env);
      const signal = cli.signal();
      const management = client(CountManagementService);
      const deadline = cli.clock.monotonic() + options.wait;
      const tally = { equal: 0, behind: 0, different: 0 };
      const unequal: CountCheck[] = [];
      let watchedSince = 0;
      let pageToken = "";
      do {
        const request = { pageSize, pageToken, prefix: options.prefix ?? "" };
        let page = await management.verifyCounts(request, { signal });
        while (page.checks.some(isBehind) && cli.clock.monotonic() < deadline) {
          await cli.clock.sleep(againMs, signal);
          page = await management.verifyCounts(request, { signal });
        }
        for (const check of page.checks) {
          if (options.json === true) cli.output.json(plainMessage(CountCheckSchema, check));
          if (check.sinceRevision > 0n) watchedSince++;
          if (check.state === CountCheckState.EQUAL) tally.equal++;
          else {
            if (isBehind(check)) tally.behind++;
            else tally.different++;
            if (unequal.length < shownMax) unequal.push(check);
          }
        }
        pageToken = page.nextPageToken;
      } while (pageToken !== "");

      if (options.json !== true) {
        if (unequal.length > 0) {
          const rows = unequal.map((check) => [
            check.countId,
            stateWords[check.state] ?? "unknown",
            String(check.value),
            String(check.revision),
            String(check.sum),
            String(check.sumRevision),
            String(check.sinceRevision),
          ]);
          cli.output.table(["COUNT", "VERDICT", "VALUE", "REVISION", "SUM", "SUM REVISION", "WATCHED SINCE"], rows);
        }
        cli.output.print(`${tally.equal} equal, ${tally.behind} behind, ${tally.different} different`);
        if (watchedSince > 0) cli.output.note(`watched only since a later revision than the first: ${watchedSince}`);
      }
      if (tally.different > 0) {
        throw new Failure("failed", "a Count's value is not the sum of its changes: this must not happen");
      }
      if (tally.behind > 0) {
        throw new Failure("failed", `not all change events have arrived; look at "muin status"`);
      }
    });
  examples(command, "muin counts verify", "muin counts verify --prefix status. --wait 30s --json");
}

function isBehind(check: CountCheck): boolean {
  return check.state === CountCheckState.BEHIND;
}

const stateWords: Readonly<Record<number, string>> = {
  [CountCheckState.EQUAL]: "equal",
  [CountCheckState.BEHIND]: "behind",
  [CountCheckState.DIFFERENT]: "different",
  [CountCheckState.GAP]: "gap",
};
