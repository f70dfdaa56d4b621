import { BranchSchema, BranchState, type Branch } from "../../../../internal/gen/muin/identity/v1/branch_pb.ts";
import { BranchService } from "../../../../internal/gen/muin/identity/v1/branch_service_pb.ts";
import { plain } from "../../remote/plain-message.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import { namesOf } from "../../terminal/values.ts";

const states = { active: BranchState.ACTIVE, closed: BranchState.CLOSED } as const;

/** `muin branches list`. */
export const list = remoteCommand({
  name: "list",
  description: "list branches in the order of their creation",
  options: {
    owner: { value: "user-id", help: "only this owner's" },
    state: { value: "state", help: "only branches in this state", choices: namesOf(states) },
    facility: { value: "name", help: "only branches that offer this" },
    country: { value: "code", help: "only branches in this country" },
    locality: { value: "name", help: "only branches in this city or district" },
  },
  examples: ["muin branches list", "muin branches list --country KR --facility shower --json"],
  read: async ({ owner = "", state, facility = "", country = "", locality = "" }, { client }, page) => {
    const filter = {
      ownerId: owner,
      state: state === undefined ? BranchState.UNSPECIFIED : states[state],
      facility,
      countryCode: country,
      locality,
    };
    const { branches, nextPageToken } = await client(BranchService).listBranches({ ...filter, ...page });
    return { entries: branches, nextPageToken };
  },
  json: plain(BranchSchema),
  columns: {
    BRANCH: ({ branchId }) => branchId,
    NAME: ({ displayName }) => displayName,
    STATE: stateWord,
    PLACE: ({ address }) => [address?.countryCode, address?.locality].filter(Boolean).join(" "),
    "TIME ZONE": ({ timeZone }) => timeZone,
    OWNER: ({ ownerId }) => ownerId,
  },
  none: "there are no such branches",
});

/** The word for the state of a branch. */
export function stateWord({ state }: Branch): string {
  return state === BranchState.ACTIVE ? "active" : "closed";
}
