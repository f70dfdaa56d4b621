import { EnrolmentService } from "../../../../internal/gen/muin/face/v1/enrolment_service_pb.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import { faceErasureShown } from "./face-erasure.ts";

/** `muin faces erasure`. */
export const erasure = remoteCommand({
  name: "erasure",
  description: "show how far the erasure of a face has come, and its receipt",
  arguments: { enrolmentId: { help: "the enrolment that was erased" } },
  examples: ["muin faces erasure 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55"],
  call: async ({ enrolmentId }, { client }) => (await client(EnrolmentService).getFaceErasure({ enrolmentId })).erasure,
  ...faceErasureShown,
});
