import { BranchSchema, type Branch } from "../../../../internal/gen/muin/identity/v1/branch_pb.ts";
import { plain } from "../../remote/plain-message.ts";
import type { Output } from "../../terminal/output.ts";

/** The branch that a command is about. */
export const branchArgument = { help: "the branch, as branches list names it" } as const;

/** Makes a change depend on what it changes. */
export const etagOption = { value: "etag", help: "only if it is as it was when it had this etag" } as const;

/** How a branch that was changed is shown: `done` and its id. */
export function changedBranchShown(done: string) {
  return {
    json: plain(BranchSchema),
    print: ({ branchId }: Branch, output: Output): void => output.print(`${done} ${branchId}`),
  } as const;
}
