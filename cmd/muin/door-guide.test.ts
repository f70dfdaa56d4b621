import { join } from "node:path";
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { catalog } from "../../internal/catalog.ts";
import { EnrolmentService } from "../../internal/gen/muin/face/v1/enrolment_service_pb.ts";
import { FaceModelService } from "../../internal/gen/muin/face/v1/face_model_service_pb.ts";
import { UserService } from "../../internal/gen/muin/identity/v1/user_service_pb.ts";
import { eventually } from "../../internal/platform/testing/eventually.ts";
import {
  createMuinFolder,
  muinCommand,
  runProgram,
  startMuin,
  type MuinFolder,
  type TestMuin,
} from "../../internal/platform/testing/muin.ts";
import { createSyntheticFaces } from "../../internal/shared/faces/synthetic-faces.ts";
import { newBranch } from "../../internal/system/device-fixture.ts";
import { errorReasons } from "../../internal/tools/error-reasons.ts";
import { bytesOfValues } from "./faces/embedding.ts";

// Commands start real processes, and machines are busy; a hang still ends.
setDefaultTimeout(180_000);

const root = join(import.meta.dir, "../..");
const faces = createSyntheticFaces({ seed: 6, dimensions: 128 });
const model = { modelId: "guide", dimensions: 128, threshold: 0.5, margin: 0.05, duplicateThreshold: 0.65 };

let folder: MuinFolder;
let muin: TestMuin;
let branchId: string;
let memberId: string;
let guide: string;
beforeAll(async () => {
  folder = await createMuinFolder();
  muin = await startMuin({ folder });
  guide = await Bun.file(join(import.meta.dir, "DOOR.md")).text();
  memberId = (await muin.signUp({ email: "ada@example.com", password: "a long enough secret" })).userId;
  branchId = await newBranch(muin, memberId);
  await eventually(() =>
    muin.client(UserService).setMembership({ userId: memberId, membership: { plan: "standard" } }),
  );
  await muin.client(FaceModelService).registerFaceModel({ faceModel: model });
  const enrolment = {
    branchIds: [branchId],
    memberId,
    modelId: model.modelId,
    embeddings: [bytesOfValues(faces.photographOf(0, 0))],
    consent: { textVersion: "1", time: timestampFromMs(Date.now()) },
  };
  await eventually(() => muin.client(EnrolmentService).enrolFace(enrolment)); // mlops learns of the person and the branch by events.
});
afterAll(async () => {
  await muin[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

/** The blocks of a language in the guide, in their order. */
function blocks(language: string): readonly string[] {
  return [...guide.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, "gms"))].map(([, text = ""]) => text);
}

const base64 = (face: Float32Array): string => Buffer.from(bytesOfValues(face)).toString("base64");

let device: { readonly key: string; readonly deviceId: string } | undefined;

test("the blocks for a shell, one after the other, open the door", async () => {
  const muinProgram = (await muinCommand("sources")).map((part) => `'${part}'`).join(" ");
  await Bun.write(join(folder.path, "face.b64"), base64(faces.photographOf(0, 1)));
  const script = [
    "set -euo pipefail",
    `muin() { ${muinProgram} "$@"; }`,
    ...blocks("sh"),
    'echo; echo "device $DEVICE"',
    'echo "stranger $(identify "$STRANGER")"',
    'echo; echo "again $(redeem "$PASS")"',
  ].join("\n");
  const env = {
    MUIN: muin.http,
    BRANCH: branchId,
    MODEL: model.modelId,
    STRANGER: base64(faces.photographOf(77, 0)),
    MUIN_DATA_DIR: muin.dataDir,
  };
  // Access learns of the membership by an event: until then the door stays closed.
  const run = () => runProgram(["bash", "-c", script], { cwd: folder.path, env }).ended;
  const shown = await eventually(async () => {
    const { code, stdout, stderr } = await run();
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toContain(`open for ${memberId}\n`);
    return stdout;
  });
  expect(shown).toMatch(/"entryId":"[^"]+"/); // Of the exit.
  expect(shown).toMatch(/^stranger .*DECISION_DENIED.*DECISION_REASON_NO_MATCH/m);
  expect(shown).toContain("open by a pass\n");
  expect(shown).toMatch(/^again .*DECISION_DENIED.*DECISION_REASON_PASS_INVALID/m);
  const deviceId = /^device (\S+)$/m.exec(shown)?.[1] ?? "";
  device = { deviceId, key: await Bun.file(join(folder.path, "door.pem")).text() };
});

/** Reasons that a device never gets, by why. */
const neverOfDevices = [
  {
    why: "of people, keys and services",
    reasons: ["SCOPE_MISSING", "USER_FORBIDDEN", "PERSON_HOLDS_MORE", "TOO_MANY_FAILED_KEYS", "CALL_NOT_DECLARED"],
  },
  { why: "of reading entries", reasons: ["ENTRY_NOT_FOUND", "ENTRY_FORBIDDEN", "PAGE_TOKEN_INVALID"] },
  { why: "of watching entries", reasons: ["RESUME_TOKEN_TOO_OLD", "RESUME_TOKEN_INVALID", "WATCHES_EXCEEDED"] },
  {
    why: "of operators",
    reasons: ["SERVICE_NOT_FOUND", "TOPIC_NOT_FOUND", "CONSUMER_NOT_FOUND", "EVENTS_PARTITIONS", "EVENT_TOO_LARGE"],
  },
  { why: "no such field", reasons: ["REQUEST_ID_REUSED", "IDEMPOTENCY_KEY_DIFFERS", "ETAG_MISMATCH"] },
  { why: "a signed call is NOT_SIGNABLE", reasons: ["QUERY_PARAMETER_INVALID", "IDEMPOTENCY_KEY_UNSUPPORTED"] },
  { why: "each method has a policy", reasons: ["POLICY_MISSING"] },
  { why: "who has gone hears nothing", reasons: ["CANCELED"] },
].flatMap(({ reasons }) => reasons);

/** What auth answers to a device beside that. */
const ofAuth: readonly string[] = ["ACTIVATION_CODE_INVALID", "DEVICE_KEY_TAKEN", "DEVICE_INVALID", "SIGN_IN_LOCKED"];

/** Whether the guide names a reason's code, which stands for every reason that has it. */
function isNamedByCode({ codes }: { readonly codes: readonly string[] }): boolean {
  return codes.some((code) => ["unavailable", "deadline_exceeded", "internal"].includes(code));
}

test("the guide says what to do for each reason that a device can meet, and names no other", () => {
  const [, section = ""] = /^## What a device does when there is no decision\n(.*?)^## /ms.exec(guide) ?? [];
  const named = [...section.matchAll(/`(?!MUIN_)([A-Z_]+)`/g)].map(([, name = ""]) => name);
  const answered = errorReasons(catalog).filter(
    ({ from, reason }) => from.includes("every service") || from.includes("access") || ofAuth.includes(reason),
  );
  const met = answered.filter((each) => !isNamedByCode(each) && !neverOfDevices.includes(each.reason));
  const wanted = [...met.map(({ reason }) => reason), "UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL"];
  expect(named.toSorted()).toEqual(wanted.toSorted());
  const known = new Set(answered.map(({ reason }) => reason));
  expect([...neverOfDevices, ...ofAuth].filter((reason) => !known.has(reason))).toEqual([]);
});

test("the client in TypeScript has no type errors, 30 lines, and opens the door", async () => {
  const [client = "", ...others] = blocks("ts");
  expect(others).toEqual([]);
  expect(client.trim().split("\n").length).toBeLessThanOrEqual(30);
  const path = join(folder.path, "client.ts");
  await Bun.write(path, client);
  await Bun.write(
    join(folder.path, "tsconfig.json"),
    JSON.stringify({
      extends: join(root, "tsconfig.json"),
      compilerOptions: { typeRoots: [join(root, "node_modules/@types")], types: ["bun"] },
      include: [path],
    }),
  );
  const tsc = [process.execPath, join(root, "node_modules/typescript/bin/tsc"), "--project", folder.path];
  const checked = await runProgram(tsc, { cwd: root }).ended;
  expect([checked.code, checked.stdout]).toEqual([0, ""]);
  const { createDoor } = (await import(path)) as { createDoor: (...args: readonly string[]) => Identify };
  if (device === undefined) throw new Error("the blocks for a shell made no device");
  const identify = createDoor(muin.http, device.key, device.deviceId, branchId, model.modelId);
  expect(await identify(faces.photographOf(0, 2))).toMatchObject({
    accessDecision: { decision: "DECISION_GRANTED", reason: "DECISION_REASON_ADMITTED", memberId },
  });
  expect(await identify(faces.photographOf(78, 0))).toMatchObject({
    accessDecision: { decision: "DECISION_DENIED", reason: "DECISION_REASON_NO_MATCH" },
  });
});

/** What the client gives. */
type Identify = (face: Float32Array) => Promise<Record<string, unknown>>;
