import { MuinError } from "../../platform/errors/muin-error.ts";

/** The device or branch is another's, or there is none: one answer, so that it tells nothing. */
export function deviceForbidden(): MuinError {
  return new MuinError({
    code: "permission_denied",
    reason: "DEVICE_FORBIDDEN",
    message: "only who owns all branches of a device, or holds the scope devices.manage, may do this",
    metadata: { scope: "devices.manage" },
  });
}

/** No device has this id. */
export function deviceNotFound(): MuinError {
  return new MuinError({ code: "not_found", reason: "DEVICE_NOT_FOUND", message: "there is no such device" });
}

/** No branch has this id. */
export function branchNotFound(branchId: string): MuinError {
  return new MuinError({
    code: "not_found",
    reason: "BRANCH_NOT_FOUND",
    message: `there is no branch ${branchId}`,
    metadata: { branch_id: branchId },
  });
}

/** There are as many live devices as there may be. */
export function tooManyDevices(max: number): MuinError {
  return new MuinError({
    code: "failed_precondition",
    reason: "TOO_MANY_DEVICES",
    message: `there are ${max} devices, as many as there may be: revoke some`,
  });
}

/** The code was never given, has ended, or was used with another key: one answer for all. */
export function badActivationCode(): MuinError {
  return new MuinError({
    code: "unauthenticated",
    reason: "BAD_ACTIVATION_CODE",
    message: "the activation code is wrong, has ended or was used: register the device again",
  });
}

/** The key is that of another device. */
export function deviceKeyTaken(): MuinError {
  return new MuinError({
    code: "failed_precondition",
    reason: "DEVICE_KEY_TAKEN",
    message: "this key is that of another device: make a new one",
  });
}

/** The device is unknown, not active or revoked, or its key did not sign: one answer for all. */
export function badDevice(): MuinError {
  return new MuinError({
    code: "unauthenticated",
    reason: "BAD_DEVICE",
    message: "there is no active device of this id that signed the call with its key",
  });
}
