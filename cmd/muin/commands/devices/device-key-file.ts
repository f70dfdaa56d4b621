import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { privateDeviceKeyOf } from "../../../../internal/platform/identity/signed-call.ts";
import { replaceFile } from "../../../../internal/platform/local/files.ts";
import { Failure } from "../../terminal/failure.ts";

/** The option that names the file. */
export const keyFileOption = {
  value: "file",
  help: "file that keeps the device's id and private key, readable by its owner alone",
  required: true,
} as const;

/** What a device keeps: who it is and the key that never leaves it. */
export interface DeviceKeyFile {
  /** Empty until it was activated. */
  readonly deviceId: string;
  readonly privateKey: KeyObject;
  readonly publicKey: Uint8Array<ArrayBuffer>;
}

interface Kept {
  readonly device_id: string;
  /** PKCS #8 in PEM. */
  readonly private_key: string;
}

/** Reads the file, which only its owner may read and write. */
export async function readDeviceKeyFile(path: string): Promise<DeviceKeyFile> {
  const kept = await keptIn(path);
  if (kept === undefined) throw new Failure("usage", `${path} is not there: activate the device first`);
  return keyFileOf(kept, path);
}

/** Reads the file, or makes it with a new key: an activation that was cut off goes on with the key that it began with. */
export async function openDeviceKeyFile(path: string): Promise<DeviceKeyFile> {
  const kept = await keptIn(path);
  if (kept !== undefined) return keyFileOf(kept, path);
  const { privateKey } = generateKeyPairSync("ed25519");
  const made = { device_id: "", private_key: privateKey.export({ type: "pkcs8", format: "pem" }) };
  try {
    await writeFile(path, textOf(made), { mode: 0o600, flag: "wx" });
  } catch (error) {
    throw unusable(path, error);
  }
  return keyFileOf(made, path);
}

/** Writes down which device the key is of. */
export async function nameDeviceKeyFile(path: string, deviceId: string): Promise<void> {
  const kept = await keptIn(path);
  if (kept === undefined) throw new Failure("usage", `${path} was removed meanwhile`);
  try {
    await replaceFile(path, textOf({ ...kept, device_id: deviceId }), { mode: 0o600 });
  } catch (error) {
    throw unusable(path, error);
  }
}

async function keptIn(path: string): Promise<Kept | undefined> {
  try {
    return JSON.parse(await readFile(path, "utf8")) as Kept;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw unusable(path, error);
  }
}

function keyFileOf(kept: Kept, path: string): DeviceKeyFile {
  try {
    const { privateKey, x } = privateDeviceKeyOf(kept.private_key);
    return { deviceId: kept.device_id, privateKey, publicKey: new Uint8Array(Buffer.from(x, "base64url")) };
  } catch (error) {
    throw unusable(path, error);
  }
}

function textOf(kept: Kept): string {
  return `${JSON.stringify(kept, undefined, 2)}\n`;
}

function unusable(path: string, cause: unknown): Failure {
  const why =
    cause instanceof Error && "syscall" in cause && "code" in cause ? String(cause.code) : "not the key of a device";
  return new Failure("usage", `${path} cannot be used: ${why}`, { cause });
}
