import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import { DeviceState, type DeviceSchema, type DeviceService } from "../../../gen/muin/identity/v1/device_service_pb.ts";
import { signatureOf } from "../../../platform/identity/call-signature.ts";
import { callerOf } from "../../../platform/identity/caller.ts";
import { clientOf } from "../audit/client.ts";
import { orThrow } from "../../../platform/errors/refusal.ts";
import type { Activation } from "./activation.ts";
import type { Devices } from "./rules.ts";
import type { Device } from "./store.ts";

/** Serves devices. */
export function createDeviceHandlers({
  devices,
  activation,
}: {
  readonly devices: Devices;
  readonly activation: Activation;
}): ServiceImpl<typeof DeviceService> {
  return {
    registerDevice: async (request, context) => {
      const registered = orThrow(await devices.register(request, callerOf(context), clientOf(context)));
      return {
        device: messageOf(registered.device),
        activationCode: registered.activationCode,
        activationExpireTime: timestampFromMs(registered.activationExpireTimeMs),
      };
    },
    activateDevice: async ({ activationCode, publicKey }, context) => ({
      device: messageOf(
        orThrow(await activation.activate(activationCode, publicKey, signatureOf(context), clientOf(context))),
      ),
    }),
    issueDeviceToken: async ({ deviceId }, context) => {
      const issued = orThrow(await activation.issueToken(deviceId, signatureOf(context), clientOf(context)));
      return { token: issued.token, expireTime: timestampFromMs(issued.expireTimeMs) };
    },
    listDevices: async (request, context) => {
      const { page, nextPageToken } = orThrow(await devices.list(callerOf(context), request));
      return { devices: page.map(messageOf), nextPageToken };
    },
    revokeDevice: async ({ deviceId }, context) => {
      orThrow(await devices.revoke(deviceId, callerOf(context), clientOf(context)));
      return {};
    },
  };
}

function messageOf(device: Device): MessageInitShape<typeof DeviceSchema> {
  const { deviceId, displayName, branchIds, createTimeMs, activateTimeMs, tokenTimeMs, revokeTimeMs } = device;
  return {
    deviceId,
    displayName,
    branchIds: [...branchIds],
    state: stateOf(device),
    createTime: timestampFromMs(createTimeMs),
    ...(activateTimeMs === undefined ? {} : { activateTime: timestampFromMs(activateTimeMs) }),
    ...(tokenTimeMs === undefined ? {} : { tokenTime: timestampFromMs(tokenTimeMs) }),
    ...(revokeTimeMs === undefined ? {} : { revokeTime: timestampFromMs(revokeTimeMs) }),
  };
}

function stateOf({ activateTimeMs, revokeTimeMs }: Device): DeviceState {
  if (revokeTimeMs !== undefined) return DeviceState.REVOKED;
  return activateTimeMs === undefined ? DeviceState.PENDING : DeviceState.ACTIVE;
}
