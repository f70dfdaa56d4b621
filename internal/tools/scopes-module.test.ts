import { expect, test } from "bun:test";
import { catalog } from "../catalog.ts";
import { scopes } from "../gen/scopes.ts";
import { topology } from "../platform/catalog/topology.ts";

test("the scopes that were generated are those that the policies of the catalogue name", () => {
  const generated: readonly string[] = scopes;
  // What the platform serves beside the services: its operations.
  expect(generated.filter((scope) => !scope.startsWith("operations."))).toEqual([...topology(catalog).scopes]);
});
