import { generateKeyPairSync, type KeyObject } from "node:crypto";
import type { DescService } from "@bufbuild/protobuf";
import { createClient, type Client } from "@connectrpc/connect";
import { createFetchClient } from "@connectrpc/connect/protocol";
import { createTransport } from "@connectrpc/connect/protocol-connect";
import { BranchService } from "../gen/muin/identity/v1/branch_service_pb.ts";
import { DeviceService } from "../gen/muin/identity/v1/device_service_pb.ts";
import { OwnerService } from "../gen/muin/identity/v1/owner_service_pb.ts";
import { type Clock, systemClock } from "../platform/clock/clock.ts";
import { systemRandom } from "../platform/clock/random.ts";
import { createSigningFetch } from "../platform/identity/signing-fetch.ts";
import { eventually } from "../platform/testing/eventually.ts";
import type { TestMuin } from "../platform/testing/muin.ts";

const bytesMax = 1 << 20;

/** A client whose calls are signed with a device's key and carry its token, when there is one. */
export function deviceClient<S extends DescService>(
  service: S,
  url: string,
  privateKey: KeyObject,
  token?: string,
  clock: Clock = systemClock,
): Client<S> {
  const sign = createSigningFetch({ privateKey, clock, random: systemRandom, send: fetch });
  const transport = createTransport({
    baseUrl: url,
    httpClient: createFetchClient(sign as typeof fetch),
    useBinaryFormat: true,
    useHttpGet: false,
    interceptors: [
      (next) => (request) => {
        request.header.set("accept-encoding", "identity");
        if (token !== undefined) request.header.set("authorization", `Bearer ${token}`);
        return next(request);
      },
    ],
    acceptCompression: [],
    sendCompression: null,
    compressMinBytes: 0,
    readMaxBytes: bytesMax,
    writeMaxBytes: bytesMax,
  });
  return createClient(service, transport);
}

/** Makes a person an owner, with a branch. */
export async function newBranch(muin: Pick<TestMuin, "client">, ownerId: string): Promise<string> {
  await eventually(() => muin.client(OwnerService).registerOwner({ owner: { userId: ownerId, companyName: "Gym" } }));
  const branch = { displayName: "Mapo", timeZone: "Asia/Seoul", ownerId };
  const created = await muin.client(BranchService).createBranch({ branch });
  return created.branch?.branchId ?? "";
}

/** A new device of the branch, and what it signs by. `http` is where auth answers. */
export async function newDevice(muin: Pick<TestMuin, "client" | "http">, branchId: string, clock: Clock = systemClock) {
  // Auth learns of the branch by an event.
  const register = () => muin.client(DeviceService).registerDevice({ branchIds: [branchId] });
  const { activationCode } = await eventually(register);
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const { x = "" } = publicKey.export({ format: "jwk" });
  const devices = deviceClient(DeviceService, muin.http, privateKey, undefined, clock);
  const { device } = await devices.activateDevice({ activationCode, publicKey: Buffer.from(x, "base64url") });
  const { token } = await devices.issueDeviceToken({ deviceId: device?.deviceId ?? "" });
  return { token, privateKey };
}
