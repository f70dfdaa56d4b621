import { BranchSchema, type Branch } from "../../../../internal/gen/muin/identity/v1/branch_pb.ts";
import { BranchService } from "../../../../internal/gen/muin/identity/v1/branch_service_pb.ts";
import { plain } from "../../remote/plain-message.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import { printFacts, type Fact } from "../../terminal/facts.ts";
import { branchArgument } from "./branch-argument.ts";
import { stateWord } from "./list.ts";
import { formatHours } from "./opening-hours-text.ts";

/** `muin branches get`. */
export const get = remoteCommand({
  name: "get",
  description: "show a branch",
  arguments: { branchId: branchArgument },
  examples: ["muin branches get 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55"],
  call: async ({ branchId }, { client }) => (await client(BranchService).getBranch({ branchId })).branch,
  json: plain(BranchSchema),
  print: (branch, output) => printFacts(factsOf(branch), output),
});

function factsOf(branch: Branch): readonly Fact[] {
  const { address, position, openingHours, entryRules } = branch;
  const hours = openingHours === undefined ? undefined : formatHours(openingHours);
  const place = [
    ...(address?.lines ?? []),
    address?.postalCode,
    address?.locality,
    address?.region,
    address?.countryCode,
  ];
  return [
    ["branch", branch.branchId],
    ["name", branch.displayName],
    ["state", stateWord(branch)],
    ["owner", branch.ownerId],
    ["address", place.filter(Boolean).join(", ")],
    ["position", position === undefined ? "" : `${position.latitude}, ${position.longitude}`],
    ["time zone", branch.timeZone],
    ...(hours === undefined
      ? [["hours", "always"] as const]
      : [
          ...hours.weekly.map((line) => ["hours", line] as const),
          ...hours.exceptions.map((line) => ["exception", line] as const),
          ...hours.yearly.map((line) => ["every year", line] as const),
        ]),
    ["facilities", branch.facilities.join(", ")],
    ...branch.equipment.map(
      (one) => ["equipment", `${one.quantity} ${one.displayName === "" ? one.equipmentId : one.displayName}`] as const,
    ),
    ["plans", entryRules?.plans.map(({ plan }) => plan).join(", ") ?? ""],
    ["capacity", (entryRules?.capacityMax ?? 0) === 0 ? "" : String(entryRules?.capacityMax)],
    ["etag", branch.etag],
  ];
}
