import { EnrolmentService } from "../../../../internal/gen/muin/face/v1/enrolment_service_pb.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import { enrolmentArgument, enrolmentShown } from "./enrolment.ts";

/** `muin faces get`. */
export const get = remoteCommand({
  name: "get",
  description: "show an enrolment; no embedding is ever shown",
  arguments: { enrolmentId: enrolmentArgument },
  examples: ["muin faces get 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55"],
  call: async ({ enrolmentId }, { client }) => (await client(EnrolmentService).getEnrolment({ enrolmentId })).enrolment,
  ...enrolmentShown,
});
