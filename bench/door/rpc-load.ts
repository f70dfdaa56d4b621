import { createPrivateKey } from "node:crypto";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  AccessService,
  IdentifyRequestSchema,
  IdentifyResponseSchema,
} from "../../internal/gen/muin/face/v1/access_service_pb.ts";
import { signatureHeader, signCall } from "../../internal/platform/identity/signed-call.ts";
import { type Served, serveChild } from "../harness/child.ts";
import { openHttpConnections, type WireRequest } from "../harness/http-connections.ts";
import { model, personOf } from "./galleries.ts";
import type { BenchDevice } from "./muin-door.ts";
import { type Probe, readProbes } from "./people.ts";
import type { Answers, Load } from "./subject.ts";
import { callersMax, runLoad } from "./tally.ts";

/** What this process is told on its command line. */
export interface RpcLoadOptions {
  /** Origin. */
  readonly url: string;
  readonly devices: readonly BenchDevice[];
  /** Branch by number of faces. */
  readonly branches: Readonly<Record<string, string>>;
  readonly peopleFolder: string;
}

const path = `/${AccessService.typeName}/${AccessService.method.identify.name}`;
/** An embedding is taken once by a device: each is sent a little longer than the one before, which turns it nowhere. */
const stretch = 2 ** -22;

/** Devices that ask over Connect, each call with a nonce and a signature of its own. */
async function openRpcLoad(options: RpcLoadOptions): Promise<Served<Load, Answers>> {
  const { url, branches } = options;
  const probes = await readProbes(options.peopleFolder);
  const devices = options.devices.map(({ token, privateKey }) => ({ token, privateKey: createPrivateKey(privateKey) }));
  let sent = 0;
  const requestOf = ({ embedding }: Probe, faces: number): WireRequest => {
    sent += 1;
    const device = devices[sent % devices.length];
    if (device === undefined) throw new Error("no device");
    const factor = 1 + sent * stretch;
    const nonce = `${session}${sent.toString(36).padStart(10, "0")}`;
    const timeMs = Date.now();
    const body = toBinary(
      IdentifyRequestSchema,
      create(IdentifyRequestSchema, {
        branchId: branches[faces] ?? "",
        modelId: model.modelId,
        embedding: new Uint8Array(embedding.map((value) => value * factor).buffer),
        capturedAt: timestampFromMs(timeMs),
        nonce,
      }),
    );
    const signature = signCall(device.privateKey, { method: path, body, timeMs, nonce });
    return {
      path,
      contentType: "application/proto",
      headers: { authorization: `Bearer ${device.token}`, [signatureHeader]: signature },
      body: Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString("latin1"),
    };
  };
  return {
    greeting: "",
    answer: async (load) => {
      // Anew for each window: a server may close what was idle in between.
      const connections = await openHttpConnections(url, callersMax, {});
      try {
        return await runLoad(
          probes,
          async (probe, faces, caller) => {
            const reply = await connections.send(caller, requestOf(probe, faces));
            const memberId = fromBinary(IdentifyResponseSchema, reply).accessDecision?.memberId ?? "";
            return memberId === "" ? null : personOf(memberId);
          },
          load,
        );
      } finally {
        connections.close();
      }
    },
    close: async () => {},
  };
}

/** Part of each nonce: no two runs send the same. */
const session = crypto.randomUUID().slice(0, 8);

await serveChild(openRpcLoad);
