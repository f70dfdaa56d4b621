import { UserService } from "../../../../internal/gen/muin/identity/v1/user_service_pb.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import { Failure } from "../../terminal/failure.ts";
import { userArgument, userIdOf, userShown } from "./person.ts";

/** `muin users update`. */
export const update = remoteCommand({
  name: "update",
  description: 'change what is said of a person; "" removes it',
  arguments: { user: userArgument },
  options: {
    name: { value: "text", help: "name for people" },
    locale: { value: "tag", help: 'language and region, such as "ko-KR"' },
    timeZone: { value: "zone", help: 'time zone, such as "Asia/Seoul"' },
    phone: { value: "number", help: 'telephone number, such as "+821012345678"' },
    picture: { value: "url", help: "https address of a picture" },
    etag: { value: "etag", help: "only if the person has not changed since this etag" },
  },
  examples: ['muin users update ada@example.org --name "Ada Lovelace" --time-zone Europe/London'],
  call: async ({ user, name, locale, timeZone, phone, picture, etag = "" }, muin) => {
    const given = {
      display_name: name,
      locale,
      time_zone: timeZone,
      phone_number: phone,
      picture_uri: picture,
    };
    const paths = Object.entries(given).flatMap(([path, value]) => (value === undefined ? [] : [path]));
    if (paths.length === 0) {
      throw new Failure("usage", "say what to change: --name, --locale, --time-zone, --phone or --picture");
    }
    const changed = {
      userId: await userIdOf(user, muin),
      displayName: name ?? "",
      locale: locale ?? "",
      timeZone: timeZone ?? "",
      phoneNumber: phone ?? "",
      pictureUri: picture ?? "",
      etag,
    };
    return (await muin.client(UserService).updateUser({ user: changed, updateMask: { paths } })).user;
  },
  ...userShown,
});
