import { EnrolmentService } from "../../../../internal/gen/muin/face/v1/enrolment_service_pb.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import { enrolmentArgument, enrolmentShown, faceOption, overrideOption, readFaces } from "./enrolment.ts";

/** `muin faces replace`. */
export const replace = remoteCommand({
  name: "replace",
  description: "put other embeddings in place of all of an enrolment's",
  arguments: { enrolmentId: enrolmentArgument },
  options: { face: faceOption, overrideDuplicate: overrideOption },
  examples: ["muin faces replace 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55 --face ada-1.json --face ada-2.json"],
  call: async ({ enrolmentId, face, overrideDuplicate }, { client, repeat, random, stdin }) => {
    const { embeddings } = await readFaces(face, stdin);
    const request = {
      enrolmentId,
      embeddings: [...embeddings],
      overrideDuplicate: overrideDuplicate === true,
      requestId: random.uuid(),
    };
    return (await repeat(() => client(EnrolmentService).replaceFace(request))).enrolment;
  },
  ...enrolmentShown,
});
