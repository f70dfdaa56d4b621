import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { EnrolmentService } from "../../../../internal/gen/muin/face/v1/enrolment_service_pb.ts";
import { faceLineHelp } from "../../faces/face-line.ts";
import { type FaceImportResult, type FaceToEnrol, importFaces } from "../../faces/import-faces.ts";
import { createProgress, grouped } from "../../import/progress.ts";
import { openSource } from "../../import/source.ts";
import { type Remote, remoteCommand } from "../../remote/remote-command.ts";
import { Failure, reasonOf, toFailure } from "../../terminal/failure.ts";
import type { Output } from "../../terminal/output.ts";
import { momentMs } from "../../terminal/values.ts";

/** How long a call is repeated while Muin is away, in milliseconds: a restart of Muin does not end an import. */
const withinMs = 60_000;
const pageSize = 1000;
/** Refused lines that people are shown. */
const badLinesShownMax = 10;

const details = `${faceLineHelp}
Plain or gzip.

Interrupt it at any moment, or lose the machine, and run the same command again: who is enrolled at these branches by this
model is left out, and nobody is enrolled twice. A bad line is told and stops nothing.`;

/** `muin faces import`. */
export const importFile = remoteCommand({
  name: "import",
  description: "take over a gallery: enrol the faces of a file",
  arguments: { file: { help: "lines of JSON, or CSV" } },
  options: {
    branch: {
      value: "branch-id",
      help: "branch whose doors they open; may be given several times",
      many: true,
      required: true,
    },
    model: { value: "model-id", help: "model that made the embeddings", required: true },
    consentVersion: { value: "version", help: "version of the text that they agreed to, where a line does not say it" },
    consentTime: { value: "time", help: "when they agreed, where a line does not say it", parse: momentMs },
    overrideDuplicate: { help: "although a face is another person's already; it is recorded that you said so" },
  },
  details,
  examples: [
    "muin faces import gallery.jsonl.gz --branch 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55 --model arc-r100 --consent-version 2026-11 --consent-time 2026-11-01",
  ],
  run: async (given, muin) => {
    const { output, clock } = muin;
    const source = await openSource(given.file);
    await source.verify(muin.signal);
    const start = clock.monotonic();
    const result: FaceImportResult = {
      lines: 0,
      enrolled: 0,
      known: 0,
      badCount: 0,
      bad: [],
      offset: 0,
      offsetStart: 0,
    };
    const progress = createProgress(output, clock, source);
    try {
      await importFaces(source, {
        common: JSON.stringify([[...given.branch].toSorted(), given.model, given.overrideDuplicate === true]),
        consentVersion: given.consentVersion,
        consentTimeMs: given.consentTime,
        known: await enrolledAt(given.branch, given.model, muin),
        enrol: createEnrol(given, muin),
        onProgress: (now) => progress.update(now),
        signal: muin.signal,
        result,
      });
    } catch (error) {
      const failure = toFailure(error);
      throw new Failure(failure.exit, `${failure.message}; run the same command again to go on`, { cause: error });
    } finally {
      progress.end();
    }
    const seconds = (clock.monotonic() - start) / 1000;
    if (given.json === true) output.json(resultJson(given.file, result, seconds));
    else printResult(result, seconds, output);
    if (muin.signal.aborted) throw new Failure("interrupted", "interrupted; run the same command again to go on");
    if (result.badCount > 0) throw new Failure("failed", `${grouped(result.badCount)} lines were not taken`);
  },
});

/** Who is enrolled by a model at all of the branches. */
async function enrolledAt(
  branchIds: readonly string[],
  modelId: string,
  { client, repeat }: Remote,
): Promise<ReadonlySet<string>> {
  const known = new Set<string>();
  const [branchId = ""] = branchIds;
  for (let pageToken = ""; ;) {
    const page = await repeat(() => client(EnrolmentService).listEnrolments({ branchId, pageSize, pageToken }));
    for (const enrolment of page.enrolments) {
      if (enrolment.modelId !== modelId) continue;
      if (branchIds.every((each) => enrolment.branchIds.includes(each))) known.add(enrolment.memberId);
    }
    pageToken = page.nextPageToken;
    if (pageToken === "") return known;
  }
}

function createEnrol(
  given: {
    readonly branch: readonly string[];
    readonly model: string;
    readonly overrideDuplicate: boolean | undefined;
  },
  { client, repeat, output }: Remote,
): (face: FaceToEnrol) => Promise<boolean> {
  // Interrupted, the calls under way are finished.
  const enrolments = client(EnrolmentService, new AbortController().signal);
  let told = false;
  const onPause = (): void => {
    if (!told) output.note("waiting for Muin");
    told = true;
  };
  return async ({ memberId, embeddings, consentVersion, consentTimeMs, requestId }) => {
    const request = {
      branchIds: [...given.branch],
      memberId,
      modelId: given.model,
      embeddings: [...embeddings],
      consent: { textVersion: consentVersion, time: timestampFromMs(consentTimeMs) },
      overrideDuplicate: given.overrideDuplicate === true,
      requestId,
    };
    try {
      await repeat(() => enrolments.enrolFace(request), { withinMs, onPause });
      return true;
    } catch (error) {
      const isKnown =
        error instanceof ConnectError && error.code === Code.AlreadyExists && reasonOf(error) === "ENROLMENT_EXISTS";
      if (isKnown) return false;
      throw error;
    }
  };
}

function resultJson(file: string, result: FaceImportResult, seconds: number): unknown {
  return {
    file,
    lines: result.lines,
    enrolled: result.enrolled,
    known: result.known,
    bad_lines: result.badCount,
    bad: result.bad.map(({ line, memberId, why }) => ({ line, member_id: memberId, why })),
    seconds: Number(seconds.toFixed(3)),
  };
}

function printResult(
  { lines, enrolled, known, badCount, bad }: FaceImportResult,
  seconds: number,
  output: Output,
): void {
  const rate = seconds > 0 ? `, ${grouped(Math.round(enrolled / seconds))} a second` : "";
  output.print(`enrolled ${grouped(enrolled)} of ${grouped(lines)} lines in ${seconds.toFixed(1)} s${rate}`);
  if (known > 0) output.print(`${grouped(known)} were enrolled already`);
  for (const { line, memberId, why } of bad.slice(0, badLinesShownMax)) {
    output.print(`  line ${line}${memberId === "" ? "" : `, ${memberId}`}: ${why}`);
  }
  if (badCount > badLinesShownMax)
    output.print(
      `  and ${grouped(badCount - badLinesShownMax)} more; --json tells ${grouped(Math.min(badCount, bad.length))}`,
    );
}
