import { GalleryCheckSchema, type GalleryCheck } from "../../../../internal/gen/muin/face/v1/face_check_pb.ts";
import { FaceModelService } from "../../../../internal/gen/muin/face/v1/face_model_service_pb.ts";
import { plainMessage } from "../../remote/plain-message.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import { Failure } from "../../terminal/failure.ts";
import type { Output } from "../../terminal/output.ts";

/** A part of a check may take long: it compares thousands of faces. */
const timeoutMs = 120_000;

/** `muin faces check`. */
export const check = remoteCommand({
  name: "check",
  description:
    "compare what is known of faces with what doors search, and say what differs; it fails when anything does",
  options: {
    branch: { value: "branch-id", help: "only this branch (default: all)" },
    mend: { help: "mend what differs" },
  },
  examples: ["muin faces check", "muin faces check --branch 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55 --mend"],
  run: async ({ branch = "", mend, json }, { client, repeat, output }) => {
    const galleries = new Map<string, GalleryCheck>();
    for (let pageToken = ""; ;) {
      const request = { branchId: branch, mend: mend === true, pageToken };
      const page = await repeat(() => client(FaceModelService).checkFaces(request, { timeoutMs }));
      for (const part of page.checks) add(galleries, part);
      output.progress(`${galleries.size} galleries`);
      pageToken = page.nextPageToken;
      if (pageToken === "") break;
    }
    output.progress("");
    const checks = [...galleries.values()];
    if (json === true) for (const each of checks) output.json(plainMessage(GalleryCheckSchema, each));
    else print(checks, output);
    const lost = checks.reduce((sum, { enrolmentsLost }) => sum + enrolmentsLost, 0n);
    if (lost > 0n)
      throw new Failure("failed", `faces of ${lost} enrolments are lost: the people must be enrolled again`);
    if (mend !== true && checks.some(differs)) throw new Failure("failed", "there are differences: --mend mends them");
  },
});

/** Parts of one gallery add up. */
function add(galleries: Map<string, GalleryCheck>, part: GalleryCheck): void {
  const key = JSON.stringify([part.branchId, part.modelId, part.generation]);
  const before = galleries.get(key);
  if (before === undefined) {
    galleries.set(key, part);
    return;
  }
  before.enrolmentsChecked += part.enrolmentsChecked;
  before.enrolmentsRepaired += part.enrolmentsRepaired;
  before.enrolmentsLost += part.enrolmentsLost;
  before.erasedRemoved += part.erasedRemoved;
  before.unknownRemoved += part.unknownRemoved;
  before.changesRepaired += part.changesRepaired;
  before.lostEnrolmentIds.push(...part.lostEnrolmentIds);
}

function differs({ enrolmentsRepaired, erasedRemoved, unknownRemoved, changesRepaired }: GalleryCheck): boolean {
  return enrolmentsRepaired + erasedRemoved + unknownRemoved + changesRepaired > 0n;
}

function print(checks: readonly GalleryCheck[], output: Output): void {
  if (checks.length === 0) {
    output.note("there are no faces");
    return;
  }
  output.table(
    ["BRANCH", "MODEL", "ENROLMENTS", "DIFFERING", "LOST", "ERASED", "UNKNOWN", "UNTOLD"],
    checks.map((each) => [each.branchId, each.modelId, ...countsOf(each).map(String)]),
  );
  for (const id of checks.flatMap(({ lostEnrolmentIds }) => lostEnrolmentIds)) output.print(`lost: ${id}`);
}

/** Numbers of a check, in the order of their columns. */
function countsOf(each: GalleryCheck): readonly bigint[] {
  return [
    each.enrolmentsChecked,
    each.enrolmentsRepaired,
    each.enrolmentsLost,
    each.erasedRemoved,
    each.unknownRemoved,
    each.changesRepaired,
  ];
}
