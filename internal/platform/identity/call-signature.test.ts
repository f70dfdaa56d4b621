import { expect, test } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import { join } from "node:path";
import type { MuinError } from "../errors/muin-error.ts";
import { importMutant } from "../testing/mutant.ts";
import { createSignatureReader } from "./call-signature.ts";
import { deviceKeyOf, signCall, type SignedCall } from "./signed-call.ts";

const method = "/muin.identity.v1.DeviceService/ActivateDevice";
const body = new TextEncoder().encode("{}");
const { privateKey, publicKey } = generateKeyPairSync("ed25519");
const stranger = deviceKeyOf(publicKey.export({ format: "jwk" }).x ?? "");
const devicePair = generateKeyPairSync("ed25519");
const device = deviceKeyOf(devicePair.publicKey.export({ format: "jwk" }).x ?? "");
const startMs = 1_800_000_000_000;

/** What a registered device is answered after a flood of strangers, from a network each, and how many of those were taken. */
async function flood(create: typeof createSignatureReader) {
  let nowMs = startMs;
  const reader = create({
    clock: { now: () => nowMs },
    remembered: {
      devices: { perSignerMax: 50, max: 50 },
      strangers: { perSignerMax: 5, max: 30 },
    },
  });
  let nonces = 0;
  const proven = async (pair: typeof devicePair, key: typeof device, network?: string): Promise<string> => {
    const call: SignedCall = { method, body, timeMs: nowMs, nonce: String(++nonces).padStart(16, "0") };
    try {
      const signature = reader.read(signCall(pair.privateKey, call), method, body, "auth");
      await signature.prove(key, network === undefined ? undefined : { network });
      return "proven";
    } catch (error) {
      return (error as MuinError).reason;
    }
  };
  const strangers = async (times: number, network: string): Promise<number> => {
    const outcomes = Array.from({ length: times }, () => proven({ privateKey, publicKey }, stranger, network));
    return (await Promise.all(outcomes)).filter((outcome) => outcome === "proven").length;
  };
  const oneNetwork = await strangers(10, "192.0.2.1");
  const another = await strangers(1, "192.0.2.2");
  let all = 0;
  for (let network = 0; network < 100; network++) all += await strangers(1, `198.51.100.${network}`);
  const known = await proven(devicePair, device);
  nowMs += 31_000;
  return { oneNetwork, another, all, known, later: await strangers(10, "192.0.2.1") };
}

const flooded = { oneNetwork: 5, another: 1, all: 24, known: "proven", later: 5 };

test("strangers' signed calls are remembered apart from those of devices, and bounded by network", async () => {
  expect(await flood(createSignatureReader)).toEqual(flooded);
});

test("100 signed calls of strangers from one network are taken in a minute", async () => {
  const reader = createSignatureReader({ clock: { now: () => startMs } });
  const outcomes = Array.from({ length: 101 }, async (_, nonce) => {
    const call: SignedCall = { method, body, timeMs: startMs, nonce: String(nonce).padStart(16, "0") };
    try {
      await reader.read(signCall(privateKey, call), method, body, "auth").prove(stranger, { network: "192.0.2.1" });
      return "proven";
    } catch (error) {
      return (error as MuinError).reason;
    }
  });
  expect(await Promise.all(outcomes)).toEqual([...Array<string>(100).fill("proven"), "TOO_MANY_SIGNED_CALLS"]);
});

test.each([
  [
    "one memory for all",
    "call-signature.ts",
    "const strangers = createProvenCalls(remembered.strangers);",
    "const strangers = devices;",
  ],
  [
    "each key counts for itself",
    "call-signature.ts",
    "strangers.add(stranger.network, x,",
    "strangers.add(call.nonce, x,",
  ],
  ["no bound of all strangers", "proven-calls.ts", "|| calls.size >= max", ""],
])("mutant: %s", async (_, file, from, to) => {
  const entry = join(import.meta.dir, "call-signature.ts");
  const mutant = await importMutant<{ createSignatureReader: typeof createSignatureReader }>(
    join(import.meta.dir, file),
    from,
    to,
    [entry],
  );
  expect(await flood(mutant.createSignatureReader)).not.toEqual(flooded);
});
