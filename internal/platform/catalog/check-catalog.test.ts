import { describe, expect, test } from "bun:test";
import { create, createFileRegistry, setExtension, type DescMessage } from "@bufbuild/protobuf";
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FileDescriptorProtoSchema,
  MessageOptionsSchema,
} from "@bufbuild/protobuf/wkt";
import { BranchCreatedSchema, BranchUpdatedSchema } from "../../gen/muin/identity/v1/branch_events_pb.ts";
import { event, EventSchema } from "../../gen/muin/platform/v1/options_pb.ts";
import { topicOf } from "../events/topics.ts";
import { ApiKeyService } from "../../gen/muin/identity/v1/api_key_service_pb.ts";
import { PersonKeyService } from "../../gen/muin/identity/v1/person_key_service_pb.ts";
import { ApiKeyRevokedSchema, SessionRevokedSchema } from "../../gen/muin/identity/v1/session_events_pb.ts";
import { UserDataErasedSchema, UserUpdatedSchema } from "../../gen/muin/identity/v1/user_events_pb.ts";
import { OperationsService } from "../../gen/muin/platform/v1/operations_service_pb.ts";
import { SealedSchema } from "../../gen/muin/platform/v1/sealed_pb.ts";
import { checkCatalog } from "./check-catalog.ts";
import { group } from "../service/consumption.ts";
import type { ServiceInfo } from "../service/define-service.ts";
import { rpcs } from "../service/rpcs.ts";
import { postgres, postgresViews, redis } from "../service/stores.ts";

const base: ServiceInfo = {
  name: "one",
  summary: "A service of the test.",
  serves: [ApiKeyService],
  hot: [],
  calls: {},
  stores: { own: postgres({ database: "one", migrations: [] }) },
  publishes: [ApiKeyRevokedSchema],
  republishes: [],
  consumes: [group(ApiKeyRevokedSchema)],
  config: {},
  errors: {},
  personalData: "none",
  standsAlone: false,
  create: () => [],
};
const other: ServiceInfo = {
  ...base,
  name: "two",
  serves: [PersonKeyService],
  stores: {},
  publishes: [],
  consumes: [],
};

describe("checking a catalogue", () => {
  test("finds nothing wrong with a sound one", () => {
    const one = { ...base, publishes: [ApiKeyRevokedSchema, UserDataErasedSchema] };
    const two = {
      ...other,
      publishes: [UserDataErasedSchema],
      calls: { keys: rpcs(ApiKeyService, ["verifyApiKey"]) },
    };
    expect(checkCatalog([one, two])).toEqual([]);
  });

  test.each<[string, readonly ServiceInfo[], string]>([
    ["a name twice", [base, { ...other, name: "one" }], "there are two services named one"],
    ["a name that is no name", [{ ...base, name: "One!" }], '"One!" is not a kebab-case service name'],
    [
      "an RPC service with two owners",
      [base, { ...other, serves: [ApiKeyService] }],
      "muin.identity.v1.ApiKeyService belongs to both one and two",
    ],
    [
      "a database with two owners",
      [base, { ...other, stores: base.stores }],
      "database one belongs to both one and two",
    ],
    [
      "a call nobody answers",
      [{ ...base, calls: { people: rpcs(PersonKeyService, ["getPersonKeys"]) } }],
      "one calls muin.identity.v1.PersonKeyService, which nobody serves",
    ],
    [
      "a call that is for people",
      [base, { ...other, calls: { keys: rpcs(ApiKeyService, ["verifyApiKey", "createApiKey"]) } }],
      "two calls muin.identity.v1.ApiKeyService.CreateApiKey, which admits no service",
    ],
    [
      "an event nobody publishes",
      [base, { ...other, consumes: [group(SessionRevokedSchema)] }],
      "two consumes muin.identity.v1.SessionRevoked, which nobody publishes",
    ],
    [
      "an event that is another's only by declaration",
      [base, { ...other, consumes: [group(ApiKeyRevokedSchema, { publishedBy: "elsewhere" })] }],
      "two takes muin.identity.v1.ApiKeyRevoked for elsewhere's, but a service of the catalogue publishes it",
    ],
    [
      "a topic on which two publish",
      [base, { ...other, publishes: [SessionRevokedSchema] }],
      "topic identity.session belongs to both one and two",
    ],
    [
      "another writer of a topic that two share",
      [base, { ...other, publishes: [UserUpdatedSchema] }],
      "topic identity.user belongs to both auth and user and two",
    ],
    [
      "a state that is not told again",
      [
        { ...base, publishes: [ApiKeyRevokedSchema, BranchCreatedSchema] },
        { ...other, consumes: [group(BranchCreatedSchema)] },
      ],
      "two consumes muin.identity.v1.BranchCreated, a state that one does not tell again: it republishes nothing on identity.branch",
    ],
    [
      "an event that says neither state nor fact",
      [{ ...base, publishes: [ApiKeyRevokedSchema, undecided()] }],
      "one publishes test.Undecided, which has no topic, key and nature in its proto",
    ],
    [
      "a message that is no event",
      [{ ...base, publishes: [ApiKeyRevokedSchema, SealedSchema] }],
      "one publishes muin.platform.v1.Sealed, which has no topic, key and nature in its proto",
    ],
    [
      "views of a database nobody owns",
      [base, { ...other, stores: { views: postgresViews({ database: "three", views: ["v"] }) } }],
      "two reads database three, which nobody owns",
    ],
    [
      "a hot method of another service",
      [{ ...base, hot: [PersonKeyService.method.getPersonKeys] }, other],
      "one names muin.identity.v1.PersonKeyService.GetPersonKeys hot, which it does not serve",
    ],
    [
      "a hot stream",
      [{ ...base, serves: [OperationsService], hot: [OperationsService.method.tailEvents] }],
      "one names muin.platform.v1.OperationsService.TailEvents hot, which streams",
    ],
    [
      "a Redis server that cannot be named so",
      [{ ...base, stores: { a: redis("Counts!", "read-write", { keys: ["a"] }) } }],
      'one: "Counts!" is not a kebab-case server name',
    ],
    [
      "a Redis server that keeps what it holds, and does not",
      [
        { ...base, stores: { a: redis("kept", "read-write", { keys: ["a"] }) } },
        { ...other, stores: { a: redis("kept", "read-only", { keys: ["a"], durability: "cache" }) } },
      ],
      "the Redis server kept is durable for one and cache for two",
    ],
    [
      "personal data that two collect",
      [
        { ...base, personalData: "collected" },
        { ...other, personalData: "collected" },
      ],
      "personal data is collected by both one and two",
    ],
    [
      "personal data that is collected and held by nobody",
      [{ ...base, personalData: "collected" }, other],
      "one collects personal data, which nobody holds",
    ],
  ])("finds %s", (_, catalog, problem) => {
    expect(checkCatalog(catalog)).toEqual([problem]);
  });
});

test("an event may come from a service outside the catalogue when its consumer names it", () => {
  const outside = { ...other, consumes: [group(SessionRevokedSchema, { publishedBy: "elsewhere" })] };
  expect(checkCatalog([base, outside])).toEqual([]);
});

test("a state is told again by any message of its topic", () => {
  const one = {
    ...base,
    publishes: [ApiKeyRevokedSchema, BranchCreatedSchema, BranchUpdatedSchema],
    republishes: [BranchUpdatedSchema],
  };
  expect(checkCatalog([one, { ...other, consumes: [group(BranchCreatedSchema)] }])).toEqual([]);
});

test("an event that says neither state nor fact has no topic", () => {
  expect(() => topicOf(undecided())).toThrow("test.Undecided says neither state nor fact");
});

/** An event whose proto leaves out whether it is state or fact. */
function undecided(): DescMessage {
  const options = create(MessageOptionsSchema);
  setExtension(options, event, create(EventSchema, { topic: "test.topic", subject: "id" }));
  const file = create(FileDescriptorProtoSchema, {
    name: "test.proto",
    package: "test",
    syntax: "proto3",
    messageType: [
      {
        name: "Undecided",
        options,
        field: [
          {
            name: "id",
            jsonName: "id",
            number: 1,
            type: FieldDescriptorProto_Type.STRING,
            label: FieldDescriptorProto_Label.OPTIONAL,
          },
        ],
      },
    ],
  });
  const message = createFileRegistry(file, () => undefined).getMessage("test.Undecided");
  if (message === undefined) throw new Error("the test's own proto cannot be read");
  return message;
}
