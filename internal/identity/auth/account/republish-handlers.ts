import type { ServiceImpl } from "@connectrpc/connect";
import type { AccountService } from "../../../gen/muin/identity/v1/account_service_pb.ts";
import { isUuid } from "../../../platform/clock/random.ts";
import { afterOf, pageTokenOf } from "../../../platform/resource/page-token.ts";
import { republishAccounts, type RepublishDeps } from "./republish.ts";

const republishQuery = ["RepublishAccounts"];

/** Serves what other services may know of accounts. */
export function createRepublishHandlers(
  deps: RepublishDeps,
): Pick<ServiceImpl<typeof AccountService>, "republishAccounts"> {
  return {
    republishAccounts: async ({ pageToken }) => {
      const { recorded, last } = await republishAccounts(deps, afterOf(republishQuery, pageToken, isUuid));
      return { republished: recorded, nextPageToken: last === "" ? "" : pageTokenOf(republishQuery, last) };
    },
  };
}
