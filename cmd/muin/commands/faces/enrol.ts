import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { EnrolmentService } from "../../../../internal/gen/muin/face/v1/enrolment_service_pb.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import { Failure } from "../../terminal/failure.ts";
import { momentMs } from "../../terminal/values.ts";
import { userArgument, userIdOf } from "../users/person.ts";
import { enrolmentShown, faceOption, overrideOption, readFaces } from "./enrolment.ts";

/** `muin faces enrol`. */
export const enrol = remoteCommand({
  name: "enrol",
  description: "enrol a person's face at one or several branches: from then on it opens their doors",
  arguments: { user: userArgument },
  options: {
    branch: {
      value: "branch-id",
      help: "branch whose doors it opens; may be given several times",
      many: true,
      required: true,
    },
    face: faceOption,
    model: { value: "model-id", help: "model that made the embeddings (default: as the files say)" },
    consentVersion: { value: "version", help: "version of the text that the person agreed to", required: true },
    consentTime: { value: "time", help: "when they agreed (default: now)", parse: momentMs },
    overrideDuplicate: overrideOption,
    requestId: { value: "id", help: "makes the same command safe to repeat" },
  },
  examples: [
    "muin faces enrol ada@example.org --branch 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55 --face ada.json --consent-version 2026-11",
    "muin faces embed ada.jpg --json | muin faces enrol ada@example.org --branch 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55 --face - --consent-version 2026-11",
  ],
  call: async (given, muin) => {
    const { embeddings, modelId } = await readFaces(given.face, muin.stdin);
    const model = given.model ?? modelId;
    if (model === undefined)
      throw new Failure("usage", "the files do not say which model made the embeddings: give --model");
    const request = {
      branchIds: [...given.branch],
      memberId: await userIdOf(given.user, muin),
      modelId: model,
      embeddings: [...embeddings],
      consent: { textVersion: given.consentVersion, time: timestampFromMs(given.consentTime ?? muin.clock.now()) },
      overrideDuplicate: given.overrideDuplicate === true,
      requestId: given.requestId ?? muin.random.uuid(),
    };
    return (await muin.repeat(() => muin.client(EnrolmentService).enrolFace(request))).enrolment;
  },
  ...enrolmentShown,
});
