import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { BranchService, EntryVerdict } from "../../../../internal/gen/muin/identity/v1/branch_service_pb.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import { wholeNumber } from "../../terminal/values.ts";
import { branchArgument } from "./branch-argument.ts";
import { atOption } from "./moment.ts";

/** `muin branches try`. */
export const tryRules = remoteCommand({
  name: "try",
  description: "try a branch's entry rules out on a member; the door is not asked",
  arguments: { branchId: branchArgument },
  options: {
    plan: { value: "name", help: "the member's plan (default: no membership)" },
    at: atOption,
    inside: { value: "number", help: "people inside already", parse: wholeNumber(0, 1_000_000) },
    score: { help: "the device sent its score that the face is no picture or mask" },
  },
  examples: ["muin branches try 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55 --plan standard --at 2026-12-25T03:00+09:00"],
  call: async ({ branchId, plan = "", at, inside = 0, score }, { client, clock }) => {
    const time = at ?? new Date(clock.now());
    const { verdict } = await client(BranchService).tryEntryRules({
      branchId,
      time: timestampFromDate(time),
      plan,
      insideCount: inside,
      hasPresentationAttackScore: score === true,
    });
    return { verdict: wordOf(verdict), time };
  },
  json: ({ verdict, time }) => ({ verdict, time: time.toISOString() }),
  print: ({ verdict }, output) => output.print(verdict.toLowerCase().replaceAll("_", " ")),
});

function wordOf(verdict: EntryVerdict): string {
  return Object.entries(EntryVerdict).find(([, value]) => value === verdict)?.[0] ?? "UNKNOWN";
}
