import { createPrivateKey } from "node:crypto";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { AccessService } from "../../internal/gen/muin/face/v1/access_service_pb.ts";
import { EnrolmentService } from "../../internal/gen/muin/face/v1/enrolment_service_pb.ts";
import { FaceErasureState } from "../../internal/gen/muin/face/v1/face_erasure_pb.ts";
import { bytesOf } from "../../internal/face/shared/embedding.ts";
import { deviceClient } from "../../internal/system/device-fixture.ts";
import { beside, type EventRow, faultsOf, halted } from "./events.ts";
import { model } from "./galleries.ts";
import type { MuinDoor } from "./muin-door.ts";
import { newFaces } from "./people.ts";
import type { Subject } from "./subject.ts";
import { createTimes } from "./times.ts";

/** Enrols somebody by EnrolFace and erases them by EraseFace, again and again, while others come to the door. */
export async function measureRpcWrites(
  door: MuinDoor,
  rpc: Subject,
  { faces, times: count }: { readonly faces: number; readonly times: number },
): Promise<readonly EventRow[]> {
  const { muin, member, branches } = door;
  const branchId = branches[faces] ?? "";
  const identify = openDevice(door, branchId);
  const enrolments = muin.client(EnrolmentService);
  const erase = async (enrolmentId: string): Promise<boolean> => {
    const { erasure } = await enrolments.eraseFace({ enrolmentId });
    return erasure?.state === FaceErasureState.DONE;
  };
  const work = async () => {
    const times = createTimes(["answered", "found", "erased"]);
    let wrong = 0;
    await erase(member.enrolmentId);
    for (const face of newFaces(count + 1).slice(1)) {
      let enrolmentId = "";
      await times.paced(async (since) => {
        const { enrolment } = await enrolments.enrolFace({
          branchIds: [branchId],
          memberId: member.userId,
          modelId: model.modelId,
          embeddings: [bytesOf(face)],
          consent: { textVersion: "bench", time: timestampFromMs(Date.now()) },
        });
        enrolmentId = enrolment?.enrolmentId ?? "";
        since("answered");
        if ((await identify(face)) !== member.userId) wrong += 1;
        since("found");
      });
      await times.paced(async (since) => {
        const isDone = await erase(enrolmentId);
        if (isDone) since("erased");
        else wrong += 1;
      });
      if ((await identify(face)) !== "") wrong += 1;
    }
    return { latencyMs: times.all(), wrong };
  };
  const { of, faults } = await beside(rpc, faces, work);
  const row = (id: string, title: string, name: string): EventRow => {
    return { row: id, title, latencyMs: of(name), count, faults };
  };
  return [
    row("enrol/rpc", "EnrolFace sent -> answered", "answered"),
    row("enrol/rpc found", "EnrolFace sent -> an Identify over Connect admits the person", "found"),
    row("erase/rpc", "EraseFace sent -> DONE", "erased"),
  ];
}

/** Halts the face Redis of the running Muin. */
export async function measureRpcHalt(
  { muin }: MuinDoor,
  rpc: Subject,
  options: { readonly faces: number; readonly haltMs: number },
): Promise<EventRow> {
  const pid = await muin.folder.store("redis/faces");
  const signal = (name: NodeJS.Signals): void => void process.kill(pid, name);
  const answers = await halted(rpc, options, async (name) => signal(name));
  const title = `Identify over Connect at 200/s, the face Redis halted for ${options.haltMs} ms`;
  return { row: "halt/rpc", title, latencyMs: answers.latencyMs, count: answers.calls, faults: faultsOf(answers) };
}

/** A device that says who is admitted; "": nobody. */
function openDevice({ muin, devices }: MuinDoor, branchId: string): (face: Float32Array) => Promise<string> {
  const [device] = devices;
  if (device === undefined) throw new Error("no device");
  const client = deviceClient(AccessService, muin.http, createPrivateKey(device.privateKey), device.token);
  let asked = 0;
  return async (face) => {
    asked += 1;
    const { accessDecision } = await client.identify({
      branchId,
      modelId: model.modelId,
      // A device sends no embedding twice: this one is a little longer, which turns it nowhere.
      embedding: bytesOf(face.map((value) => value * (1 + asked * 2 ** -20))),
      capturedAt: timestampFromMs(Date.now()),
      nonce: crypto.randomUUID().replaceAll("-", ""),
    });
    return accessDecision?.memberId ?? "";
  };
}
