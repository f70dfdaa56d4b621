import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { DeviceSchema, DeviceState, type DeviceService } from "../../../gen/muin/identity/v1/device_service_pb.ts";
import { signatureOf } from "../../../platform/identity/call-signature.ts";
import { callerOf } from "../../../platform/identity/caller.ts";
import { clientOf } from "../audit/client.ts";
import type { Device, DeviceManager, Devices } from "./rules.ts";
import { deviceForbidden } from "../device-errors.ts";
import { idOfPage, pageSizeOf, scopesHeldBy } from "../request.ts";

/** Serves devices. */
export function createDeviceHandlers(devices: Devices): ServiceImpl<typeof DeviceService> {
  return {
    registerDevice: async (request, context) => {
      const { device, activationCode, activationExpireTimeMs } = await devices.register(
        request,
        managerOf(context),
        clientOf(context),
      );
      const activationExpireTime = timestampFromMs(activationExpireTimeMs);
      return { device: deviceMessage(device), activationCode, activationExpireTime };
    },
    activateDevice: async ({ activationCode, publicKey }, context) => ({
      device: deviceMessage(await devices.activate(activationCode, publicKey, signatureOf(context), clientOf(context))),
    }),
    issueDeviceToken: async ({ deviceId }, context) => {
      const { token, expireTimeMs } = await devices.issueToken(deviceId, signatureOf(context), clientOf(context));
      return { token, expireTime: timestampFromMs(expireTimeMs) };
    },
    listDevices: async (request, context) => {
      const size = pageSizeOf(request.pageSize);
      const found = await devices.list(managerOf(context), {
        size,
        beforeId: idOfPage(request.pageToken),
        branchId: request.branchId,
        withRevoked: request.showRevoked,
      });
      return {
        devices: found.map(deviceMessage),
        nextPageToken: found.length < size ? "" : (found.at(-1)?.deviceId ?? ""),
      };
    },
    revokeDevice: async ({ deviceId }, context) => {
      await devices.revoke(deviceId, managerOf(context), clientOf(context));
      return {};
    },
  };
}

/** Whose devices the caller manages: an API key without the scope nobody's. */
function managerOf(context: HandlerContext): DeviceManager {
  const caller = callerOf(context);
  if (scopesHeldBy(caller).has("devices.manage")) return "all";
  if (caller.kind === "person") return { ownerId: caller.id };
  throw deviceForbidden();
}

function deviceMessage(device: Device): MessageInitShape<typeof DeviceSchema> {
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
