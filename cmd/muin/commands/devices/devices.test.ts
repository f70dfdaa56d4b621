import { createPrivateKey, type KeyObject } from "node:crypto";
import { chmod, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { Code, ConnectError, type Client } from "@connectrpc/connect";
import { AuthService } from "../../../../internal/gen/muin/identity/v1/auth_service_pb.ts";
import { DeviceService } from "../../../../internal/gen/muin/identity/v1/device_service_pb.ts";
import { signCall } from "../../../../internal/platform/identity/signed-call.ts";
import { eventually } from "../../../../internal/platform/testing/eventually.ts";
import {
  createMuinFolder,
  startMuin,
  type MuinFolder,
  type TestMuin,
} from "../../../../internal/platform/testing/muin.ts";
import { deviceClient, newBranch } from "../../../../internal/system/device-fixture.ts";
import { untilPromised } from "../../../../internal/platform/testing/promise.ts";

setDefaultTimeout(90_000);

let folder: MuinFolder;
let muin: TestMuin;
let branchId: string;
let ownerToken: string;
beforeAll(async () => {
  folder = await createMuinFolder();
  muin = await startMuin({ folder });
  const account = { email: "owner@example.com", password: "a long enough secret" };
  const { userId, tokens } = await muin.signUp(account);
  ownerToken = tokens.accessToken;
  branchId = await newBranch(muin, userId);
});
afterAll(async () => {
  await muin[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

type Json = Record<string, unknown>;

async function json(...args: readonly string[]): Promise<Json> {
  const { code, stdout, stderr } = await muin.run("devices", ...args, "--json");
  if (code !== 0) throw new Error(`muin devices ${args.join(" ")} exited with ${code}: ${stderr}`);
  return JSON.parse(stdout) as Json;
}

/** A device that was registered and activated by commands. */
async function newDevice(name: string): Promise<{ readonly deviceId: string; readonly keyFile: string }> {
  // Auth learns of the branch by an event.
  const registered = await eventually(() => json("register", name, "--branch", branchId));
  const keyFile = join(folder.path, `${name}.json`);
  const activated = await json("activate", "--code", String(registered["activation_code"]), "--key-file", keyFile);
  return { deviceId: String((activated["device"] as Json)["device_id"]), keyFile };
}

async function keyIn(path: string): Promise<KeyObject> {
  return createPrivateKey(String((JSON.parse(await readFile(path, "utf8")) as Json)["private_key"]));
}

/** A client of something public, which tells whether key and token are taken. */
const signedClient = (privateKey: KeyObject, token: string): Client<typeof AuthService> =>
  deviceClient(AuthService, muin.http, privateKey, token);

async function codeOf(call: Promise<unknown>): Promise<Code | undefined> {
  try {
    await call;
    return undefined;
  } catch (error) {
    return ConnectError.from(error).code;
  }
}

test("a device is registered, activated, given a token, listed and revoked from the command line", async () => {
  const { deviceId, keyFile } = await newDevice("front");
  expect((await stat(keyFile)).mode & 0o777).toBe(0o600);
  const again = await muin.run("devices", "activate", "--code", "0000-0000-0000", "--key-file", keyFile);
  expect(again).toMatchObject({ code: 2 });
  expect(again.stderr).toContain(`is the key of device ${deviceId} already`);
  const { token } = await json("token", "--key-file", keyFile);
  const privateKey = await keyIn(keyFile);
  await signedClient(privateKey, String(token)).listKeys({});

  const other = await newDevice("back");
  const { token: othersToken } = await json("token", "--key-file", other.keyFile);
  expect(await codeOf(signedClient(privateKey, String(othersToken)).listKeys({}))).toBe(Code.Unauthenticated);
  const unsigned = await fetch(`${muin.http}/muin.identity.v1.AuthService/ListKeys`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${String(token)}` },
    body: "{}",
  });
  expect(await unsigned.text()).toContain("SIGNATURE_MISSING");

  const list = await muin.run("devices", "list", "--branch", branchId);
  expect(list.stdout).toMatch(new RegExp(`${deviceId}\\s+front\\s+${branchId}\\s+active`));
  expect((await muin.run("devices", "revoke", deviceId)).stdout).toBe(`revoked ${deviceId}\n`);
  expect((await muin.run("devices", "list", "--all")).stdout).toMatch(new RegExp(`${deviceId}.*revoked`));
  const refused = await muin.run("devices", "token", "--key-file", keyFile);
  expect(refused.code).not.toBe(0);
  expect(refused.stderr).toContain("there is no active device of this id");
});

test("a revoked device is refused within a second, and still after a restart", async () => {
  const { deviceId, keyFile } = await newDevice("side");
  const { token } = await json("token", "--key-file", keyFile);
  const privateKey = await keyIn(keyFile);
  const client = signedClient(privateKey, String(token));
  await client.listKeys({});
  await muin.client(DeviceService, ownerToken).revokeDevice({ deviceId });
  await untilPromised("a revoked device is refused", 1000, async () => {
    const code = await codeOf(client.listKeys({}));
    expect([undefined, Code.Unauthenticated]).toContain(code);
    return code === Code.Unauthenticated;
  });
  const kept = await newDevice("kept");
  const { token: keptToken } = await json("token", "--key-file", kept.keyFile);
  await muin.stop();
  muin = await startMuin({ folder });
  expect(await codeOf(signedClient(privateKey, String(token)).listKeys({}))).toBe(Code.Unauthenticated);
  expect(await codeOf(signedClient(await keyIn(kept.keyFile), String(keptToken)).listKeys({}))).toBeUndefined();
});

test("while the bus is down a revoked device's token goes on, but it gets no other; then it ends", async () => {
  const { deviceId, keyFile } = await newDevice("cut off");
  const { token } = await json("token", "--key-file", keyFile);
  const client = signedClient(await keyIn(keyFile), String(token));
  await client.listKeys({});
  const bus = await folder.store("redis/events");
  process.kill(bus, "SIGSTOP");
  try {
    await muin.client(DeviceService, ownerToken).revokeDevice({ deviceId });
    const refused = await muin.run("devices", "token", "--key-file", keyFile);
    expect(refused.stderr).toContain("there is no active device of this id");
    expect(await codeOf(client.listKeys({}))).toBeUndefined();
  } finally {
    process.kill(bus, "SIGCONT");
  }
  const isRefused = async (): Promise<boolean> => (await codeOf(client.listKeys({}))) === Code.Unauthenticated;
  await untilPromised("a revoked device is refused once the bus is back", 10_000, isRefused);
});

test("an owner registers devices of their own branches, and nobody else's", async () => {
  const devices = muin.client(DeviceService, ownerToken);
  const { device } = await devices.registerDevice({ displayName: "own", branchIds: [branchId] });
  const stranger = await muin.signUp({ email: "stranger@example.com", password: "a long enough secret" });
  const foreign = muin.client(DeviceService, stranger.tokens.accessToken);
  expect(await codeOf(foreign.registerDevice({ branchIds: [branchId] }))).toBe(Code.PermissionDenied);
  expect(await codeOf(foreign.revokeDevice({ deviceId: device?.deviceId ?? "" }))).toBe(Code.PermissionDenied);
  expect((await foreign.listDevices({})).devices).toEqual([]);
  expect((await devices.listDevices({})).devices.map(({ deviceId }) => deviceId)).toContain(device?.deviceId ?? "none");
});

test("over REST the method is signed by its RPC path, and the body as it is sent", async () => {
  const { deviceId, keyFile } = await newDevice("rest");
  const body = new TextEncoder().encode(JSON.stringify({ deviceId }));
  const method = "/muin.identity.v1.DeviceService/IssueDeviceToken";
  const call = { method, body, timeMs: Date.now(), nonce: "0123456789abcdef" };
  const headers = { "content-type": "application/json", "muin-signature": signCall(await keyIn(keyFile), call) };
  const send = () => fetch(`${muin.http}/api/v1/devices:issueToken`, { method: "POST", headers, body });
  expect(await (await send()).json()).toMatchObject({ token: expect.any(String), expireTime: expect.any(String) });
  const replayed = await send();
  expect([replayed.status, JSON.stringify(await replayed.json())]).toEqual([401, expect.stringContaining("REPLAYED")]);
  const openApi = (await (await fetch(`${muin.http}/openapi.json`)).json()) as { paths: Json };
  expect(Object.keys(openApi.paths)).toContain("/api/v1/devices:issueToken");
});

test("a key file that cannot be used is named", async () => {
  const path = join(folder.path, "broken.json");
  const missing = await muin.run("devices", "token", "--key-file", path);
  expect([missing.code, missing.stderr]).toEqual([2, `muin: ${path} is not there: activate the device first\n`]);
  await Bun.write(path, "{}");
  await chmod(path, 0o600);
  const broken = await muin.run("devices", "token", "--key-file", path);
  expect([broken.code, broken.stderr]).toEqual([2, `muin: ${path} cannot be used: not the key of a device\n`]);
});
