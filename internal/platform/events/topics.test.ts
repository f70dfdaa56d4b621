import { create } from "@bufbuild/protobuf";
import { expect, test } from "bun:test";
import { ApiKeyRevokedSchema } from "../../gen/muin/identity/v1/session_events_pb.ts";
import { UserDataErasedSchema } from "../../gen/muin/identity/v1/user_events_pb.ts";
import { systemClock } from "../clock/clock.ts";
import { systemRandom } from "../clock/random.ts";
import { createRecord, subjectOf, topicOf, topicsFrom, topicsOf } from "./topics.ts";

test("topic, key and retention come from the proto", () => {
  expect(topicOf(ApiKeyRevokedSchema)).toBe("identity.session");
  expect(subjectOf(ApiKeyRevokedSchema, create(ApiKeyRevokedSchema, { apiKeyId: "k-1" }))).toBe("k-1");
  expect(() => subjectOf(ApiKeyRevokedSchema, create(ApiKeyRevokedSchema, {}))).toThrow(
    "ApiKeyRevoked has no apiKeyId",
  );
  expect(topicsOf([ApiKeyRevokedSchema, ApiKeyRevokedSchema]).map(({ name }) => name)).toEqual(["identity.session"]);
});

test("an event of which each service has its own travels on the topic of who publishes it", () => {
  expect(topicOf(UserDataErasedSchema, "auth")).toBe("erasure.auth");
  expect(topicsOf([UserDataErasedSchema], "auth").map(({ name }) => name)).toEqual(["erasure.auth"]);
  expect(topicsFrom(UserDataErasedSchema, ["auth", "mlops"])).toEqual(["erasure.auth", "erasure.mlops"]);
  expect(topicsFrom(ApiKeyRevokedSchema, ["auth", "mlops"])).toEqual(["identity.session"]);
  expect(() => topicOf(UserDataErasedSchema)).toThrow("UserDataErased has a topic of each service");
  const context = { source: "/muin/auth", clock: systemClock, random: systemRandom, traceparent: "" };
  const message = create(UserDataErasedSchema, { userId: "u", service: "auth" });
  expect(createRecord(UserDataErasedSchema, message, context)).toMatchObject({ topic: "erasure.auth", subject: "u" });
});
