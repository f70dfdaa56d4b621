import type { JWTPayload } from "jose";
import type { MuinError } from "../errors/muin-error.ts";
import type { Caller } from "./caller.ts";
import { deviceKeyOf, type DeviceKey } from "./signed-call.ts";
import { deviceSubjectPrefix, deviceTokenLifeMsMax } from "./token-claims.ts";

/** What a device's token says beside what every token says. */
export interface DeviceClaims {
  /** The key that signs the device's calls (RFC 7800, RFC 8037). */
  readonly cnf: { readonly jwk: { readonly kty: "OKP"; readonly crv: "Ed25519"; readonly x: string } };
  /** Branches that the device may act for. */
  readonly branches: readonly string[];
}

const branchesMax = 32;
const idPattern = /^[!-~]{1,64}$/;
const xPattern = /^[A-Za-z0-9_-]{43}$/;

/** The device that verified claims name. It is nobody until it has proven, for each call, that it has the key. */
export function deviceIn(claims: JWTPayload, refused: (why: string) => MuinError): Extract<Caller, { kind: "device" }> {
  const { sub = "", iat, exp, cnf, branches } = claims as JWTPayload & { cnf?: unknown; branches?: unknown };
  const id = sub.slice(deviceSubjectPrefix.length);
  if (!sub.startsWith(deviceSubjectPrefix) || !idPattern.test(id)) throw refused("wrong claim sub");
  // A longer life would outlive the memory of revoked devices.
  if ((exp! - iat!) * 1000 > deviceTokenLifeMsMax) throw refused("lives too long");
  const isList = Array.isArray(branches) && branches.length <= branchesMax;
  if (!isList || !branches.every((each) => typeof each === "string" && idPattern.test(each))) {
    throw refused("wrong claim branches");
  }
  return { kind: "device", id, principal: sub, branchIds: new Set(branches as string[]), key: keyIn(cnf, refused) };
}

function keyIn(cnf: unknown, refused: (why: string) => MuinError): DeviceKey {
  const { kty, crv, x } = (cnf as Partial<DeviceClaims["cnf"]> | undefined)?.jwk ?? {};
  if (kty !== "OKP" || crv !== "Ed25519" || typeof x !== "string" || !xPattern.test(x)) {
    throw refused("wrong claim cnf");
  }
  return deviceKeyOf(x);
}
