import {
  PersonScopesSchema,
  type PersonScopes,
} from "../../../../../internal/gen/muin/identity/v1/scope_service_pb.ts";
import { plain } from "../../../remote/plain-message.ts";
import type { Output } from "../../../terminal/output.ts";

/** How a person's scopes are shown: one row per scope, with where it comes from. */
export const scopesShown = {
  json: plain(PersonScopesSchema),
  print: ({ scopes, roleScopes, grantedScopes }: PersonScopes, output: Output): void => {
    const rows = scopes.map((scope) => [
      scope,
      [roleScopes.includes(scope) ? "role" : "", grantedScopes.includes(scope) ? "given" : ""]
        .filter((source) => source !== "")
        .join(", "),
    ]);
    if (rows.length > 0) output.table(["SCOPE", "FROM"], rows);
    else output.note("the person holds no scope");
  },
} as const;

/** The same after a change. */
export const changedScopesShown = {
  json: scopesShown.json,
  print: (person: PersonScopes, output: Output): void => {
    scopesShown.print(person, output);
    output.note("tokens that were issued before keep their scopes until they end");
  },
} as const;
