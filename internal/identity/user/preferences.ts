import { fieldInvalid, resourceErrors } from "../../platform/resource/errors.ts";
import { isCurrent } from "../../platform/resource/etag.ts";
import { userErrors } from "./errors.ts";

/** Preferences that one person may keep. */
const preferencesMax = 64;

/** What a person has set for themself. */
export interface PreferencesRecord {
  readonly values: Readonly<Record<string, string>>;
  /** Grows with every change; 0 when nothing was ever set. */
  readonly version: number;
}

/** Of who has set nothing. */
export const noPreferences: PreferencesRecord = { values: {}, version: 0 };

/** The etag of what a caller saw. */
export function preferencesEtagOf({ version }: PreferencesRecord): string {
  return `p${version}`;
}

/**
 * Preferences with some values replaced and, where empty, removed; the same when nothing changes. An etag that is not empty must be
 * the current one. Throws MuinError otherwise, and for what no store takes.
 */
export function withPreferences(
  before: PreferencesRecord,
  given: Readonly<Record<string, string>>,
  etag: string,
): PreferencesRecord {
  if (!isCurrent(etag, preferencesEtagOf(before))) throw resourceErrors.etagMismatch({ resource: "preferences" });
  const values = new Map(Object.entries(before.values));
  for (const [key, value] of Object.entries(given)) {
    if (!value.isWellFormed() || value.includes("\0")) {
      throw fieldInvalid(`preferences.values["${key}"]`, "must be well-formed text without NUL");
    }
    if (value === "") values.delete(key);
    else values.set(key, value);
  }
  if (values.size > preferencesMax) throw userErrors.tooManyPreferences({ preferences_max: `${preferencesMax}` });
  const after = Object.fromEntries([...values].toSorted(([a], [b]) => (a < b ? -1 : 1)));
  return JSON.stringify(after) === JSON.stringify(before.values)
    ? before
    : { values: after, version: before.version + 1 };
}
