import type { Client } from "@connectrpc/connect";
import type { AccountService } from "../../../gen/muin/identity/v1/account_service_pb.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import { isRefusal } from "../../../platform/errors/refusal.ts";
import type { Component } from "../../../platform/lifecycle/component.ts";
import { createLoop } from "../../../platform/lifecycle/loop.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import type { ErasureRules } from "./rules.ts";

/** Pause between two looks. */
const everyMs = 600_000;

/** Deletes people whose accounts auth says are to go. Done by several processes at once, or twice, it is done once. */
export function createLapses(deps: {
  readonly accounts: Pick<Client<typeof AccountService>, "listLapsedAccounts">;
  readonly rules: Pick<ErasureRules, "lapsed">;
  readonly clock: Clock;
  readonly log: Logger;
}): Component {
  const { accounts, rules, clock, log } = deps;
  return createLoop({
    name: "user lapsed accounts",
    clock,
    everyMs,
    work: async (signal) => {
      let pageToken = "";
      do {
        const page = await accounts.listLapsedAccounts({ pageToken }, { signal });
        for (const userId of page.userIds) {
          if (signal.aborted) return;
          const erasure = await rules.lapsed(userId);
          const fields = { user_id: userId };
          if (isRefusal(erasure))
            log.warn("an account that nobody proved cannot be deleted yet", { ...fields, why: erasure.refused });
          else log.info("an account that nobody proved in time is deleted", fields);
        }
        pageToken = page.nextPageToken;
      } while (pageToken !== "");
    },
    onFailure: (error) => log.warn("accounts that nobody proved could not be looked for", { err: error }),
  });
}
