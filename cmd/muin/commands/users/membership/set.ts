import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { UserService } from "../../../../../internal/gen/muin/identity/v1/user_service_pb.ts";
import { remoteCommand } from "../../../remote/remote-command.ts";
import { momentMs } from "../../../terminal/values.ts";
import { userArgument, userIdOf, userShown } from "../person.ts";

/** `muin users membership set`. */
export const set = remoteCommand({
  name: "set",
  description: "give a person a membership, in place of the one that they may have",
  arguments: { user: userArgument, plan: { help: 'name of the plan, such as "standard"' } },
  options: {
    from: { value: "time", help: "from when it is good, such as 2026-12-01 (default: since ever)", parse: momentMs },
    until: { value: "time", help: "the first moment when it is good no more (default: never)", parse: momentMs },
  },
  examples: ["muin users membership set ada@example.org standard --until 2027-12-01T09:00:00+09:00"],
  call: async ({ user, plan, from, until }, muin) => {
    const membership = {
      plan,
      ...(from === undefined ? {} : { fromTime: timestampFromMs(from) }),
      ...(until === undefined ? {} : { untilTime: timestampFromMs(until) }),
    };
    return (await muin.client(UserService).setMembership({ userId: await userIdOf(user, muin), membership })).user;
  },
  ...userShown,
});
