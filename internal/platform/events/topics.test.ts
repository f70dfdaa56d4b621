import { create } from "@bufbuild/protobuf";
import { expect, test } from "bun:test";
import { ApiKeyRevokedSchema } from "../../gen/muin/identity/v1/session_events_pb.ts";
import { subjectOf, topicOf, topicsOf } from "./topics.ts";

test("topic, key and retention come from the proto", () => {
  expect(topicOf(ApiKeyRevokedSchema)).toBe("identity.session");
  expect(subjectOf(ApiKeyRevokedSchema, create(ApiKeyRevokedSchema, { apiKeyId: "k-1" }))).toBe("k-1");
  expect(() => subjectOf(ApiKeyRevokedSchema, create(ApiKeyRevokedSchema, {}))).toThrow(
    "ApiKeyRevoked has no apiKeyId",
  );
  expect(topicsOf([ApiKeyRevokedSchema, ApiKeyRevokedSchema]).map(({ name }) => name)).toEqual(["identity.session"]);
});
