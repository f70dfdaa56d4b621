import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { BranchCreatedSchema } from "../../gen/muin/identity/v1/branch_events_pb.ts";
import { ApiKeyService } from "../../gen/muin/identity/v1/api_key_service_pb.ts";
import { PersonKeyService } from "../../gen/muin/identity/v1/person_key_service_pb.ts";
import {
  ApiKeyRevokedSchema,
  DeviceRevokedSchema,
  SessionRevokedSchema,
} from "../../gen/muin/identity/v1/session_events_pb.ts";
import { everyInstance, group } from "../service/consumption.ts";
import type { ServiceInfo } from "../service/define-service.ts";
import { on, personalData, rebuilder, republisher, serve, setup, type ServicePart } from "../service/parts.ts";
import { caught, importMutant } from "../testing/mutant.ts";
import { checkParts } from "./check-parts.ts";

const info: ServiceInfo = {
  name: "one",
  summary: "A service of the test.",
  serves: [ApiKeyService],
  hot: [],
  calls: {},
  stores: {},
  publishes: [ApiKeyRevokedSchema, BranchCreatedSchema],
  republishes: [],
  consumes: [group(ApiKeyRevokedSchema), everyInstance(DeviceRevokedSchema)],
  config: {},
  errors: {},
  personalData: "none",
  standsAlone: false,
  create: () => [],
};
const due = [
  serve(ApiKeyService, {} as never),
  on(ApiKeyRevokedSchema, async () => {}),
  on(DeviceRevokedSchema, async () => {}),
  rebuilder([DeviceRevokedSchema], () => Promise.resolve()),
];
const notDropped =
  "one: rebuilder([muin.identity.v1.DeviceRevoked]) is missing: every instance consumes muin.identity.v1.DeviceRevoked and must drop what it made of it when events were removed unseen";
const again = (): Promise<number> => Promise.resolve(0);
const rebuild = (): Promise<void> => Promise.resolve();
const held = personalData({ exportOf: () => Promise.resolve(undefined), erase: () => Promise.resolve() });
const firstSteps = setup({}, () => Promise.resolve({ keep: {}, show: [] }));

describe("checking the parts of a service", () => {
  test("finds nothing wrong with what was declared", () => {
    const more = [republisher([ApiKeyRevokedSchema], again), rebuilder([ApiKeyRevokedSchema], rebuild)];
    expect(checkParts({ ...info, republishes: [ApiKeyRevokedSchema] }, [...due, ...more])).toEqual([]);
    const all = { ...info, setup: {}, personalData: "held" } as const;
    expect(checkParts(all, [...due, held, firstSteps])).toEqual([]);
  });

  test("finds what every instance consumes and would not drop, and asks none of a group", () => {
    expect(checkParts(info, due.slice(0, 3))).toEqual([notDropped]);
  });

  test("mutant: a check that lets instances go without is noticed", async () => {
    const mutant = await importMutant<{ checkParts: typeof checkParts }>(
      join(import.meta.dir, "check-parts.ts"),
      "    ...notRebuilt(info, parts),\n",
      "",
    );
    await caught(() => expect(mutant.checkParts(info, due.slice(0, 3))).toEqual([notDropped]));
  });

  test("finds a republisher that is declared and missing", () => {
    expect(checkParts({ ...info, republishes: [ApiKeyRevokedSchema] }, due)).toEqual([
      "one: republisher([muin.identity.v1.ApiKeyRevoked]) is missing",
    ]);
  });

  test.each<[string, readonly ServicePart[], readonly string[]]>([
    ["missing parts", due.toSpliced(2, 1), ["one: part 3 is missing, declared is on(muin.identity.v1.DeviceRevoked)"]],
    [
      "another service of the same shape",
      [serve(PersonKeyService, {} as never), ...due.slice(1)],
      ["one: part 1 is serve(muin.identity.v1.PersonKeyService), declared is serve(muin.identity.v1.ApiKeyService)"],
    ],
    [
      "an extra consumer",
      [...due, on(SessionRevokedSchema, async () => {})],
      ["one: on(muin.identity.v1.SessionRevoked) is not declared"],
    ],
    [
      "a republisher that is not declared",
      [...due, republisher([ApiKeyRevokedSchema], again)],
      ["one: republisher([muin.identity.v1.ApiKeyRevoked]) is given, but the declaration does not say republishes"],
    ],
    [
      "a republisher of what is not published",
      [...due, republisher([SessionRevokedSchema], again)],
      [
        "one: republisher([muin.identity.v1.SessionRevoked]) names muin.identity.v1.SessionRevoked, which one does not publish",
      ],
    ],
    [
      "a republisher of two topics",
      [...due, republisher([ApiKeyRevokedSchema, BranchCreatedSchema], again)],
      [
        "one: republisher([muin.identity.v1.ApiKeyRevoked, muin.identity.v1.BranchCreated]) names messages of several topics: identity.session, identity.branch",
        "one: republisher([muin.identity.v1.ApiKeyRevoked]) is given, but the declaration does not say republishes",
        "one: republisher([muin.identity.v1.BranchCreated]) is given, but the declaration does not say republishes",
      ],
    ],
    [
      "a rebuilder of what is not consumed",
      [...due, rebuilder([SessionRevokedSchema], rebuild)],
      [
        "one: rebuilder([muin.identity.v1.SessionRevoked]) names muin.identity.v1.SessionRevoked, which one does not consume",
      ],
    ],
    [
      "personal data that is not declared",
      [...due, held],
      ['one: personalData() is given, but the declaration does not say personalData "held"'],
    ],
    [
      "a setup that is not declared",
      [...due, firstSteps],
      ["one: setup() is given, but the declaration does not say setup"],
    ],
  ])("finds %s", (_, parts, problems) => {
    expect(checkParts(info, parts)).toEqual(problems);
  });

  test("finds parts that a declaration promises and that are not given", () => {
    expect(checkParts({ ...info, setup: {}, personalData: "held" }, due)).toEqual([
      "one: the declaration says setup: one setup() is due, and 0 are given",
      'one: the declaration says personalData "held": one personalData() is due, and 0 are given',
    ]);
  });
});
