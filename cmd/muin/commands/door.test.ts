import { join } from "node:path";
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { AccessService } from "../../../internal/gen/muin/face/v1/access_service_pb.ts";
import { Decision, DecisionReason } from "../../../internal/gen/muin/face/v1/entry_pb.ts";
import { UserService } from "../../../internal/gen/muin/identity/v1/user_service_pb.ts";
import { eventually } from "../../../internal/platform/testing/eventually.ts";
import { provideFacePictures } from "../../../internal/platform/testing/face-pictures.ts";
import {
  createMuinFolder,
  startMuin,
  type MuinFolder,
  type TestMuin,
} from "../../../internal/platform/testing/muin.ts";
import { deviceClient, newBranch, newDevice } from "../../../internal/system/device-fixture.ts";

// Commands start real processes, and machines are busy; a hang still ends.
setDefaultTimeout(300_000);

let folder: MuinFolder;
let muin: TestMuin;
beforeAll(async () => {
  folder = await createMuinFolder();
  muin = await startMuin({ folder });
});
afterAll(async () => {
  await muin[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

type Json = Record<string, unknown>;

test("muin door walks made-up people to a door, tells each decision and what came of all", async () => {
  const walk = ["door", "--people", "6", "--seconds", "4", "--rate", "6", "--strangers", "0.2", "--seed", "5"] as const;
  const rows = await muin.rows(...walk);
  const result = rows.at(-1) as Json;
  const visits = rows.slice(0, -1);
  expect(visits.length).toBe(24);
  expect(result).toMatchObject({ visits: 24, refused: 0, mistaken: 0, strangers_granted: 0 });
  const strangers = visits.filter((visit) => "stranger" in visit);
  expect(strangers.length).toBeGreaterThan(0);
  expect(strangers.map(({ answer, reason }) => [answer, reason])).toEqual(strangers.map(() => ["denied", "NO_MATCH"]));
  expect(Number(result["granted"])).toBeGreaterThanOrEqual(24 - strangers.length - 2); // A bad photograph is turned away.
  expect(Number(result["p99_ms"])).toBeGreaterThan(0);
  expect(JSON.stringify(rows)).not.toContain("embedding");

  // The same people come again, and a plain listing tells the same.
  const again = await muin.run(...walk, "--clean-up");
  expect(again).toMatchObject({ code: 0 });
  expect(again.stdout).toMatch(/^\d\d:\d\d:\d\d\.\d{3} {2}person \d +granted +ADMITTED +\d+\.\d ms$/m);
  expect(again.stdout).toMatch(/^\d\d:\d\d:\d\d\.\d{3} {2}a stranger +denied +NO_MATCH/m);
  expect(again.stdout).toMatch(/^mistaken +0 entered as somebody else, 0 strangers entered$/m);
  expect(again.stdout).toMatch(/^p99 +\d+\.\d ms, at most/m);

  // Nothing is left: devices are ended, people are deleted, the branch is closed.
  const devices = await muin.rows("devices", "list", "--all");
  expect(new Set(devices.map(({ state }) => state))).toEqual(new Set(["DEVICE_STATE_REVOKED"]));
  await eventually(async () => {
    const { users } = await muin.client(UserService).listUsers({ pageSize: 100 });
    expect(users.filter(({ email }) => email.endsWith("@door.example"))).toEqual([]);
    expect(await muin.rows("faces", "list")).toEqual([]);
  });
});

test("who was enrolled by one photograph enters by another, and somebody else does not", async () => {
  const pictures = await provideFacePictures();
  const { userId } = await muin.signUp({ email: "first@example.com", password: "a long enough secret" });
  const branchId = await newBranch(muin, userId);
  await eventually(() => muin.client(UserService).setMembership({ userId, membership: { plan: "standard" } }));
  const printed = await muin.run("faces", "model-of-embedder");
  await muin.begin(["faces", "models", "register", "-"], { stdin: printed.stdout }).ended;
  // The networks are kept in the user's own cache.
  const embed = async (name: string): Promise<string> => {
    const { code, stdout, stderr } = await muin.run("faces", "embed", join(pictures, name), "--json");
    // The first one of a user tells that it fetches the networks.
    expect({ name, code, stderr: code === 0 ? "" : stderr }).toEqual({ name, code: 0, stderr: "" });
    return stdout;
  };
  const enrolled = await embed("obama.jpg");
  const enrol = ["faces", "enrol", "first@example.com", "--branch", branchId, "--face", "-", "--consent-version", "1"];
  await eventually(async () => {
    const { code, stderr } = await muin.begin(enrol, { stdin: enrolled }).ended;
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  });
  const { privateKey, token } = await newDevice(muin, branchId);
  const door = deviceClient(AccessService, muin.http, privateKey, token);
  let attempts = 0;
  const comes = async (document: string) => {
    const { model_id: modelId, embedding } = JSON.parse(document) as {
      readonly model_id: string;
      readonly embedding: string;
    };
    attempts += 1;
    const nonce = `attempt-${attempts}`.padEnd(16, "-");
    const capturedAt = timestampFromMs(Date.now());
    const request = { branchId, modelId, embedding: Buffer.from(embedding, "base64"), capturedAt, nonce };
    const { accessDecision } = await door.identify(request);
    return { decision: accessDecision?.decision, reason: accessDecision?.reason, memberId: accessDecision?.memberId };
  };
  const opened = { decision: Decision.GRANTED, reason: DecisionReason.ADMITTED, memberId: userId };
  // An embedding is taken once; access hears of the membership by an event.
  const photographs = ["obama3.jpg", "obama_partial_face.jpg", "obama2.jpg"];
  const decisions: unknown[] = [];
  for (const photograph of photographs) decisions.push(await comes(await embed(photograph)));
  expect(decisions.at(-1)).toEqual(opened);
  expect(await comes(await embed("biden.jpg"))).toEqual({
    decision: Decision.DENIED,
    reason: DecisionReason.NO_MATCH,
    memberId: "",
  });
});
