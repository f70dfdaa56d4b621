import { EnrolmentService } from "../../../../internal/gen/muin/face/v1/enrolment_service_pb.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import { Failure } from "../../terminal/failure.ts";
import { enrolmentArgument } from "./enrolment.ts";
import { faceErasureShown } from "./face-erasure.ts";

/** `muin faces erase`. */
export const erase = remoteCommand({
  name: "erase",
  description: "erase a face for good: doors close for it at once, a signed receipt follows when nothing is left of it",
  arguments: { enrolmentId: enrolmentArgument },
  options: { yes: { help: "you mean it" } },
  examples: ["muin faces erase 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55 --yes"],
  call: async ({ enrolmentId, yes }, { client, repeat }) => {
    if (yes !== true) throw new Failure("usage", "an erased face cannot be brought back: add --yes");
    return (await repeat(() => client(EnrolmentService).eraseFace({ enrolmentId }))).erasure;
  },
  ...faceErasureShown,
});
