import {
  type FaceErasure,
  FaceErasureSchema,
  FaceErasureState,
  FaceErasureStepKind,
} from "../../../../internal/gen/muin/face/v1/face_erasure_pb.ts";
import { plain } from "../../remote/plain-message.ts";
import { printFacts } from "../../terminal/facts.ts";
import type { Output } from "../../terminal/output.ts";
import { minuteText } from "../../terminal/time-text.ts";

const stepWords: Readonly<Record<FaceErasureStepKind, string>> = {
  [FaceErasureStepKind.UNSPECIFIED]: "unknown",
  [FaceErasureStepKind.RECORDED]: "recorded",
  [FaceErasureStepKind.DENIED]: "denied at doors",
  [FaceErasureStepKind.APPLIED]: "applied by doors",
  [FaceErasureStepKind.REMOVED]: "removed",
  [FaceErasureStepKind.PROBED]: "probed",
  [FaceErasureStepKind.PURGED]: "copies purged",
  [FaceErasureStepKind.SETTLED]: "let go by doors",
  [FaceErasureStepKind.SIGNED]: "receipt signed",
};

/** How an erasure is shown. */
export const faceErasureShown = {
  json: plain(FaceErasureSchema),
  print: (erasure: FaceErasure, output: Output): void => {
    const isDone = erasure.state === FaceErasureState.DONE;
    const waitsFor = erasure.pendingInstances.join(" ") || "the face store";
    printFacts(
      [
        ["erasure", erasure.erasureId],
        ["enrolment", erasure.enrolmentId],
        ["doors", isDone ? "no door opens for this face any more" : `may still open: waiting for ${waitsFor}`],
        ...erasure.steps.map(
          ({ kind, time, detail }) =>
            ["", `${minuteText(time)}  ${stepWords[kind]}${detail === "" ? "" : `: ${detail}`}`] as const,
        ),
        [
          "receipt",
          erasure.receipt === "" ? "not yet: muin faces erasure shows it once nothing is left" : erasure.receipt,
        ],
      ],
      output,
    );
  },
} as const;
