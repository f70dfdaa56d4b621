import { expect, test } from "bun:test";
import { createPrivateKey } from "node:crypto";
import { createSignatureReader } from "./call-signature.ts";
import { deviceKeyOf, privateDeviceKeyOf, signatureHeader, signCall } from "./signed-call.ts";
import { createSigningFetch } from "./signing-fetch.ts";

/** The first key of RFC 8032, section 7.1: with it whoever writes a device in another language can check theirs. */
const seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
const x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
const privateKey = createPrivateKey({
  key: Buffer.from(`302e020100300506032b657004220420${seed}`, "hex"),
  format: "der",
  type: "pkcs8",
});
const call = {
  method: "/muin.identity.v1.DeviceService/IssueDeviceToken",
  body: new TextEncoder().encode('{"deviceId":"d1"}'),
  timeMs: 1_800_000_000_000,
  nonce: "0123456789abcdef",
};

test("the signature of a known call by a known key never changes", () => {
  expect(privateDeviceKeyOf(privateKey.export({ format: "pem", type: "pkcs8" }))).toMatchObject({ x });
  expect(signCall(privateKey, call)).toBe(
    "v1,t=1800000000000,n=0123456789abcdef,s=_dDoOfiaHqlI-hAsGbEGTlr0-qIQWb_x-_PLHLvHbos-RJdG04K4CKhHGja4F5v9YGFADuVlWk_O7qawvoxzDQ",
  );
});

test("the helper signs what it sends, also behind a base URL with a path, each time with another nonce", async () => {
  const sent: Request[] = [];
  let made = 0;
  const send = createSigningFetch({
    privateKey,
    clock: { now: () => call.timeMs },
    random: { bytes: (length) => new Uint8Array(length).fill(++made) },
    send: async (request) => {
      sent.push(request.clone());
      return new Response("ok");
    },
  });
  for (let round = 0; round < 2; round++) {
    const init = { method: "POST", headers: { "x-kept": "1" }, body: call.body };
    expect(await (await send(new Request(`https://muin.example/behind/a/path${call.method}`, init))).text()).toBe("ok");
  }
  const reader = createSignatureReader({ clock: { now: () => call.timeMs } });
  for (const request of sent) {
    expect(request.headers.get("x-kept")).toBe("1");
    const body = await request.bytes();
    expect(body).toEqual(call.body);
    await reader.read(request.headers.get(signatureHeader), call.method, body, "auth").prove(deviceKeyOf(x));
  }
  expect(sent).toHaveLength(2);
});
