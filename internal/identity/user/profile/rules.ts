import { create } from "@bufbuild/protobuf";
import { UserSchema, type User } from "../../../gen/muin/identity/v1/user_service_pb.ts";
import { zoneSpelling } from "../../../platform/clock/zones.ts";
import { parseHttpUrl } from "../../../platform/config/http-url.ts";
import { fieldInvalid } from "../../../platform/resource/errors.ts";
import { isCurrent } from "../../../platform/resource/etag.ts";
import { applyUpdate } from "../../../platform/resource/update-mask.ts";
import { etagOfPerson } from "../person/message.ts";
import { profileOf, stale, type Change } from "../person/person.ts";

const updatable = ["display_name", "locale", "time_zone", "phone_number", "picture_uri"] as const;

/**
 * What an update makes of the profile (AIP-134). Throws INVALID_ARGUMENT, reason FIELD_INVALID, at once for a mask that names
 * anything else, and for values that break a rule, whatever it would change.
 */
export function profileUpdated(user: User, mask: readonly string[] | undefined): Change {
  applyUpdate(UserSchema, create(UserSchema), user, { mask, allowed: updatable });
  const given: User = { ...user, locale: localeOf(user.locale), timeZone: timeZoneOf(user.timeZone) };
  checkPicture(user.pictureUri);
  return (before) => {
    if (!isCurrent(user.etag, etagOfPerson(before))) return stale(before);
    const target = create(UserSchema, profileOf(before));
    applyUpdate(UserSchema, target, given, { mask, allowed: updatable });
    return { ...before, ...profileOf(target) };
  };
}

/** The canonical form of a language tag; a well-formed one whose language nobody speaks, such as "english", is refused. */
function localeOf(text: string): string {
  if (text === "") return "";
  try {
    const { language, baseName } = new Intl.Locale(text);
    const names = new Intl.DisplayNames(["en"], { type: "language", fallback: "none" });
    if (baseName !== "" && names.of(language) !== undefined) return Intl.getCanonicalLocales(text)[0] ?? "";
  } catch {
    // Not a language tag.
  }
  throw fieldInvalid("user.locale", 'must be a BCP 47 language tag such as "ko-KR"');
}

/** A time zone of the IANA database, spelled as it is there. */
function timeZoneOf(text: string): string {
  const spelling = text === "" ? "" : zoneSpelling(text);
  if (spelling === undefined) throw fieldInvalid("user.time_zone", 'must be an IANA time zone such as "Asia/Seoul"');
  return spelling;
}

function checkPicture(text: string): void {
  if (text === "") return;
  const url = parseHttpUrl(text);
  if (url?.protocol !== "https:" || url.username !== "" || url.password !== "") {
    throw fieldInvalid("user.picture_uri", "must be an https address without user name and password");
  }
}
