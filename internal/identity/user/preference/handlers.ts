import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  PreferencesSchema,
  type Preferences,
  type UserService,
} from "../../../gen/muin/identity/v1/user_service_pb.ts";
import { callerOf } from "../../../platform/identity/caller.ts";
import { accepted, ownId } from "../person/call.ts";
import { etagOfPreferences, type PreferenceRules } from "./rules.ts";
import type { StoredPreferences } from "./store.ts";

/** Shows people what they have set for themselves, and changes it. */
export function createPreferenceHandlers({
  rules,
}: {
  readonly rules: PreferenceRules;
}): Pick<ServiceImpl<typeof UserService>, "getPreferences" | "updatePreferences"> {
  return {
    getPreferences: async ({ userId }, context) => {
      const target = ownId(context, userId);
      return { preferences: toPreferences(accepted(callerOf(context), target, await rules.get(target))) };
    },

    updatePreferences: async ({ userId, preferences }, context) => {
      const target = ownId(context, userId);
      const { values, etag } = preferences ?? create(PreferencesSchema);
      const answer = await rules.update(target, values, etag);
      return { preferences: toPreferences(accepted(callerOf(context), target, answer)) };
    },
  };
}

/** Preferences as callers see them. */
export function toPreferences(preferences: StoredPreferences): Preferences {
  return create(PreferencesSchema, { values: { ...preferences.values }, etag: etagOfPreferences(preferences) });
}
