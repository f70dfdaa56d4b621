/** Every service of Muin, as it is written here. */
const all = ["auth", "user", "branch-owner", "count-management", "count-write", "count-read"];

/** Which services may call a method, written out: whoever lets a service call more, or less, changes this by hand. No other is called. */
export const servicesByMethod: Readonly<Record<string, readonly string[]>> = {
  "ApiKeyService.VerifyApiKey": all,
  "AuthService.ListKeys": all,
  "PersonKeyService.DestroyPersonKey": ["user"],
  "PersonKeyService.GetPersonKeys": ["user", "branch-owner"],
  "PersonalDataService.ExportPersonalData": ["user"],
};
