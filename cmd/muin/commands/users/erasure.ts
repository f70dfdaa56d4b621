import {
  ErasureSchema,
  ErasureState,
  UserService,
  type Erasure,
} from "../../../../internal/gen/muin/identity/v1/user_service_pb.ts";
import { plain } from "../../remote/plain-message.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import type { Output } from "../../terminal/output.ts";

/** How far a deletion has come, as it is shown. */
export const erasureShown = {
  json: plain(ErasureSchema),
  print: ({ erasureId, state, confirmations }: Erasure, output: Output): void => {
    output.print(`erasure ${erasureId}: ${stateTexts[state] ?? `state ${state}`}`);
    for (const { service, confirmTime } of confirmations) {
      output.print(`  ${service.padEnd(16)}${confirmTime === undefined ? "not yet" : "has erased"}`);
    }
    if (state !== ErasureState.DONE) output.note(`to see how it goes on: muin users erasure ${erasureId}`);
  },
} as const;

/** `muin users erasure`. */
export const erasure = remoteCommand({
  name: "erasure",
  description: "show how far a deletion has come",
  arguments: { erasureId: { help: "the erasure, as delete names it" } },
  examples: ["muin users erasure 5f1c8a3e90b24d7c8e6f0a1b2c3d4e5f"],
  call: async ({ erasureId }, { client }) => (await client(UserService).getErasure({ erasureId })).erasure,
  ...erasureShown,
});

const stateTexts: Readonly<Record<number, string>> = {
  [ErasureState.ERASING]: "services are erasing what they hold",
  [ErasureState.DESTROYING_KEY]: "every service has erased what it held; the key is being destroyed",
  [ErasureState.DONE]: "done: nothing is left that could be read",
};
