import { EnrolmentSchema, EnrolmentService } from "../../../../internal/gen/muin/face/v1/enrolment_service_pb.ts";
import { plain } from "../../remote/plain-message.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import { minuteText } from "../../terminal/time-text.ts";
import { userIdOf } from "../users/person.ts";

/** `muin faces list`. */
export const list = remoteCommand({
  name: "list",
  description: "list enrolments",
  options: {
    branch: { value: "branch-id", help: "only those of this branch" },
    user: { value: "user", help: "only those of this person: id or e-mail address" },
  },
  examples: [
    "muin faces list --branch 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55",
    "muin faces list --user ada@example.org --json",
  ],
  read: async ({ branch = "", user = "" }, muin, page) => {
    const filter = { branchId: branch, memberId: await userIdOf(user, muin) };
    const { enrolments, nextPageToken } = await muin.client(EnrolmentService).listEnrolments({ ...filter, ...page });
    return { entries: enrolments, nextPageToken };
  },
  json: plain(EnrolmentSchema),
  columns: {
    ENROLMENT: ({ enrolmentId }) => enrolmentId,
    PERSON: ({ memberId }) => memberId,
    MODEL: ({ modelId }) => modelId,
    EMBEDDINGS: ({ embeddingCount }) => String(embeddingCount),
    ENROLLED: ({ createTime }) => minuteText(createTime),
    BRANCHES: ({ branchIds }) => branchIds.join(" "),
  },
  none: "there are no enrolments",
});
