import { expect, test } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import { join } from "node:path";
import type { MuinError } from "../errors/muin-error.ts";
import { caught, importMutant } from "../testing/mutant.ts";
import { createSignatureReader } from "./call-signature.ts";
import type { Nonces } from "./nonces.ts";
import { deviceKeyOf, signCall, type SignedCall } from "./signed-call.ts";

const method = "/muin.identity.v1.DeviceService/IssueDeviceToken";
const body = new TextEncoder().encode("{}");
const { privateKey, publicKey } = generateKeyPairSync("ed25519");
const device = deviceKeyOf(publicKey.export({ format: "jwk" }).x ?? "");
const startMs = 1_800_000_000_000;
const hourMs = 3_600_000;

type Create = typeof createSignatureReader;

/** A reader whose clock the test sets, and a device that signs by it. */
function open(create: Create, nonces?: Nonces) {
  const time = { nowMs: startMs };
  const remembered = { devices: { perSignerMax: 5, max: 20 }, strangers: { perSignerMax: 5, max: 20 } };
  const reader = create({ clock: { now: () => time.nowMs }, remembered, ...(nonces === undefined ? {} : { nonces }) });
  let nonce = 0;
  const sign = (timeMs = time.nowMs): string =>
    signCall(privateKey, { method, body, timeMs, nonce: String(++nonce).padStart(16, "0") } satisfies SignedCall);
  const send = async (header: string): Promise<string> => {
    try {
      await reader.read(header, method, body, "auth").prove(device);
      return "proven";
    } catch (error) {
      return (error as MuinError).reason;
    }
  };
  return { time, sign, send };
}

/** The clock runs an hour ahead, with devices that follow it, and is put back. */
async function putBack(create: Create): Promise<void> {
  const { time, sign, send } = open(create);
  const early = sign();
  expect(await send(early)).toBe("proven");
  time.nowMs += hourMs;
  const ahead: string[] = [];
  for (let minute = 0; minute < 2; minute += 1) {
    for (let call = 0; call < 5; call += 1) {
      ahead.push(sign());
      expect(await send(ahead.at(-1) ?? "")).toBe("proven");
    }
    if (minute === 0) time.nowMs += 61_000;
  }
  time.nowMs -= hourMs;

  // For as long as clocks may differ it is not known what came before; then every device is taken again, as often as ever.
  await send(sign());
  time.nowMs += 31_000;
  for (let call = 0; call < 5; call += 1) expect(await send(sign())).toBe("proven");
  expect(await send(sign())).toBe("TOO_MANY_SIGNED_CALLS");
  expect(await send(early)).toBe("SIGNATURE_TIME");

  // What was taken last is no new call when its time comes, and a second step changes nothing about that.
  time.nowMs += 40 * 60_000;
  time.nowMs -= 10 * 60_000;
  await send(sign());
  time.nowMs = startMs + hourMs + 61_000;
  expect(await send(ahead.at(-1) ?? "")).toBe("SIGNATURE_REPLAYED");
  expect(await send(sign())).toBe("proven");
}

test("a clock that ran ahead and was put back refuses no device for longer than clocks may differ", () =>
  putBack(createSignatureReader));

/** A process that started while the clock ran ahead, and knows no other's nonces. */
async function startAhead(create: Create): Promise<void> {
  const { time, sign, send } = open(create, { take: () => Promise.reject(new Error("away")) });
  time.nowMs -= hourMs;
  await send(sign());
  time.nowMs += 31_000;
  expect(await send(sign())).toBe("proven");
  // What was signed before it started is refused all the same.
  const fresh = open(create, { take: () => Promise.reject(new Error("away")) });
  expect(await fresh.send(fresh.sign(startMs - 1))).toBe("SIGNATURE_REPLAYED");
}

test("nor does one that ran ahead when a process started, while nonces are away", () =>
  startAhead(createSignatureReader));

test.each([
  ["the latest call keeps all out", "proven-calls.ts", "if (isPutBack) putBack(nowMs);", "", putBack],
  [
    "calls ahead fill the memory",
    "proven-calls.ts",
    "forget(id, signer);\n    }\n  };\n  return",
    "}\n  };\n  return",
    putBack,
  ],
  ["calls ahead are forgotten", "proven-calls.ts", "if (ahead.size < max) ahead.set(id, timeMs);", "", putBack],
  ["the start keeps all out", "call-signature.ts", "startMs = Math.min(startMs, clock.now());", "", startAhead],
  ["the start is not known", "call-signature.ts", "call.timeMs < startMs", "call.timeMs < 0", startAhead],
] as const)("mutant: %s", async (_, file, from, to, check) => {
  const entry = join(import.meta.dir, "call-signature.ts");
  const path = join(import.meta.dir, file);
  const mutant = await importMutant<{ createSignatureReader: Create }>(path, from, to, path === entry ? [] : [entry]);
  await caught(() => check(mutant.createSignatureReader));
});
