import { expect, test } from "bun:test";
import { ConfigError } from "../config/read-config.ts";
import { coordinationUrlOf } from "./mesh-config.ts";

const common = { callsUrl: "", bootstrapSecretFile: "" };

test.each([
  ["where the events are, when nothing else is said", "redis://events", "", "redis://events"],
  ["where the events are, with TLS", "rediss://events", "", "rediss://events"],
  ["elsewhere when told so", "redis://events", "redis://leases", "redis://leases"],
  ["elsewhere beside a broker of another kind", "kafka://events", "redis://leases", "redis://leases"],
])("leases are kept %s", (_, eventsUrl, coordinationUrl, expected) => {
  expect(coordinationUrlOf({ ...common, eventsUrl, coordinationUrl })).toBe(expected);
});

test("beside a broker that is no Redis the leases must be given a place", () => {
  expect(() => coordinationUrlOf({ ...common, eventsUrl: "kafka://events", coordinationUrl: "" })).toThrow(
    new ConfigError([
      "MUIN_COORDINATION_URL is missing: it must be given where events are not in a Redis (redis://… | rediss://…)",
    ]),
  );
});
