import { InvalidArgumentError } from "commander";
import { type FaceModel } from "../../../../internal/gen/muin/face/v1/face_model_pb.ts";
import { FaceModelService } from "../../../../internal/gen/muin/face/v1/face_model_service_pb.ts";
import {
  type Calibrated,
  calibrateByPairs,
  calibrateBySearches,
  type Calibration,
  type Rate,
  type SearchScores,
} from "../../faces/calibration.ts";
import { embeddingValues } from "../../faces/embedding.ts";
import { faceLineHelp } from "../../faces/face-line.ts";
import { createSearchableGallery } from "../../faces/gallery-search.ts";
import { type Comparison, readGallery, readPairScores } from "../../faces/score-files.ts";
import { openSource } from "../../import/source.ts";
import { grouped } from "../../import/progress.ts";
import { type Remote, remoteCommand } from "../../remote/remote-command.ts";
import { printFacts } from "../../terminal/facts.ts";
import { Failure } from "../../terminal/failure.ts";
import type { Output } from "../../terminal/output.ts";
import { wholeNumber } from "../../terminal/values.ts";
import { readModel } from "./models/register.ts";

/** Searches through a gallery unless told otherwise: a minute among 20 000 faces. */
const searchesDefault = 4000;
/** Searches between two looks at the clock. */
const searchesAtOnce = 8;

const details = `With --gallery each person of a file searches among all others (what they find is a false positive), and among their own further
embeddings where there are some. With --impostor and --genuine pairs are compared: files with the columns one and other, an embedding each.
The threshold is the least at which at most the target share of searches by strangers finds somebody among --size faces (FPIR), FNIR is the
share of people who are not found, both as NIST's FRTE 1:N defines and reports them; FPIR = 1-(1-FMR)^N brings them to another size.
In brackets stands Wilson's 95 % interval. Scores that are too few to show the target are refused, not extrapolated.

A gallery's file: ${faceLineHelp}`;

/** `muin faces calibrate`. */
export const calibrate = remoteCommand({
  name: "calibrate",
  description: "compute a model's threshold for a target rate of false positives, from faces",
  options: {
    model: { value: "model-id", help: "the model, as Muin knows it" },
    definition: { value: "file", help: "the model, as models register takes it: asks no Muin" },
    targetFpir: {
      value: "rate",
      help: "share of searches by strangers that may find somebody, such as 0.001",
      parse: rate,
      required: true,
    },
    gallery: { value: "file", help: "faces of people who search among each other" },
    impostor: { value: "file", help: "pairs of two people's faces" },
    genuine: { value: "file", help: "pairs of one person's faces" },
    size: {
      value: "number",
      help: "faces among which a door searches (default: those of the gallery)",
      parse: wholeNumber(1, 100_000_000),
    },
    branch: { value: "branch-id", help: "take the size from this branch" },
    searches: {
      value: "number",
      help: "people of the gallery who search, evenly chosen",
      parse: wholeNumber(1, 1_000_000),
      default: searchesDefault,
    },
    apply: { help: "have doors decide by the threshold, within a second" },
  },
  details,
  examples: [
    "muin faces calibrate --model arc-r100 --gallery gallery.jsonl --target-fpir 0.001",
    "muin faces calibrate --definition model.json --impostor others.csv --genuine same.csv --size 500 --target-fpir 0.01",
    "muin faces calibrate --model arc-r100 --gallery gallery.jsonl --target-fpir 0.001 --branch 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55 --apply",
  ],
  run: async (given, muin) => {
    const { model, branchSize } = await modelOf(given, muin);
    const comparison = { dimensions: model.dimensions || 512, mean: embeddingValues(model.mean) };
    const calibrated = await calibrationOf(given, comparison, given.size ?? branchSize, muin);
    if (!("threshold" in calibrated)) {
      const least = calibrated.targetMin.toPrecision(2);
      throw new Failure(
        "failed",
        `so few comparisons do not show a FPIR of ${given.targetFpir}: give more faces, or a target of ${least} or more`,
      );
    }
    if (given.json === true) muin.output.json(calibrationJson(model.modelId, calibrated));
    else printCalibration(model, calibrated, muin.output);
    if (given.apply !== true) return;
    if (given.model === undefined) throw new Failure("usage", "--apply needs --model: the one that is to change");
    const { modelId, margin, duplicateThreshold } = model;
    await muin.repeat(() =>
      muin.client(FaceModelService).calibrateFaceModel({
        modelId,
        margin,
        threshold: calibrated.threshold,
        // A face counts as another person's from where a door would take it for theirs.
        duplicateThreshold: Math.max(duplicateThreshold, calibrated.threshold),
        targetFalsePositiveRate: given.targetFpir,
      }),
    );
    muin.output.note(`the doors that decide by ${modelId} take ${calibrated.threshold.toFixed(4)} from now on`);
  },
});

interface Wanted {
  readonly model: string | undefined;
  readonly definition: string | undefined;
  readonly branch: string | undefined;
  readonly gallery: string | undefined;
  readonly impostor: string | undefined;
  readonly genuine: string | undefined;
  readonly targetFpir: number;
  readonly searches: number;
}

/** The model, and how many faces the branch has by it. */
async function modelOf(
  { model, definition, branch }: Wanted,
  muin: Remote,
): Promise<{ readonly model: FaceModel; readonly branchSize: number | undefined }> {
  if ((model === undefined) === (definition === undefined)) throw new Failure("usage", "give --model or --definition");
  if (definition !== undefined) {
    if (branch !== undefined) throw new Failure("usage", "--branch goes with --model: say --size");
    return { model: await readModel(definition, muin.stdin), branchSize: undefined };
  }
  for (let pageToken = ""; ;) {
    const request = { branchId: branch ?? "", pageSize: 1000, pageToken };
    const page = await muin.client(FaceModelService).listFaceModels(request);
    const found = page.faceModels.find(({ modelId }) => modelId === model);
    if (found !== undefined) {
      const gallery = page.galleries.find(({ modelId }) => modelId === model);
      return { model: found, branchSize: gallery === undefined ? undefined : Number(gallery.faceCount) };
    }
    pageToken = page.nextPageToken;
    if (pageToken === "") throw new Failure("notFound", `there is no model ${model ?? ""}`);
  }
}

async function calibrationOf(
  given: Wanted,
  comparison: Comparison,
  size: number | undefined,
  muin: Remote,
): Promise<Calibrated> {
  const { gallery, impostor, genuine, targetFpir } = given;
  if ((gallery === undefined) === (impostor === undefined) || (gallery !== undefined && genuine !== undefined)) {
    throw new Failure("usage", "give --gallery, or --impostor and perhaps --genuine");
  }
  if (gallery !== undefined) {
    const people = await readGallery(await openSource(gallery), comparison);
    const faceCount = people.flat().length;
    const searches = await searchAll(people, given.searches, muin);
    // Who searches does so among the faces of all others.
    const searched = Math.max(1, faceCount - Math.round(faceCount / people.length));
    return calibrateBySearches(searches, searched, { targetFpir, size: size ?? faceCount });
  }
  if (size === undefined)
    throw new Failure("usage", "pairs say nothing of how many faces a door searches: give --size or --branch");
  const scores = {
    impostor: await readPairScores(await openSource(impostor ?? ""), comparison),
    genuine: genuine === undefined ? [] : await readPairScores(await openSource(genuine), comparison),
  };
  if (scores.impostor.length === 0) throw new Failure("usage", `${impostor ?? ""} has no pairs`);
  return calibrateByPairs(scores, { targetFpir, size });
}

/** Has people of a gallery search among each other, evenly chosen where they are more than so many. */
async function searchAll(
  people: readonly (readonly Float32Array[])[],
  searchesMax: number,
  { output, clock, signal }: Remote,
): Promise<readonly SearchScores[]> {
  if (people.length < 2)
    throw new Failure("usage", "a gallery of fewer than two people has nobody to be taken for another");
  const gallery = createSearchableGallery(people);
  const count = Math.min(people.length, searchesMax);
  const searches: SearchScores[] = [];
  for (let index = 0; index < count; index++) {
    if (index % searchesAtOnce === 0) {
      await clock.sleep(0, signal); // An interruption is heard between searches.
      output.progress(`${grouped(index)} of ${grouped(count)} searches among ${grouped(gallery.faceCount)} faces`);
    }
    searches.push(gallery.search(Math.floor((index * people.length) / count)));
  }
  output.progress("");
  return searches;
}

function rateJson({ share, low, high, events, trials }: Rate): unknown {
  return { share, low, high, events, trials };
}

function calibrationJson(modelId: string, calibration: Calibration): unknown {
  const { method, threshold, size, targetFpir, fpir, fnir, falsePositives } = calibration;
  return {
    model_id: modelId,
    method,
    threshold,
    size,
    target_fpir: targetFpir,
    fpir,
    false_positives: rateJson(falsePositives),
    ...(fnir === undefined ? {} : { fnir: rateJson(fnir) }),
  };
}

function printCalibration({ modelId, threshold: present }: FaceModel, calibration: Calibration, output: Output): void {
  const { method, threshold, size, falsePositives, fpir, fnir } = calibration;
  const how = method === "searches" ? "searches" : "pairs";
  printFacts(
    [
      ["model", modelId],
      ["threshold", `${threshold.toFixed(4)} (now ${present})`],
      ["faces", grouped(size)],
      ["FPIR", `${bounded(fpir)}, from ${eventsOf(falsePositives)} ${how}`],
      [
        "FNIR",
        fnir === undefined ? "not measured: nobody has two faces" : `${bounded(fnir)}, from ${eventsOf(fnir)} ${how}`,
      ],
    ],
    output,
  );
}

/** A share with its bounds, as one writes it. */
function bounded({ share, low, high }: Calibration["fpir"]): string {
  return `${share.toPrecision(3)} [${low.toPrecision(3)}, ${high.toPrecision(3)}]`;
}

function eventsOf({ events, trials }: Rate): string {
  return `${grouped(events)} of ${grouped(trials)}`;
}

function rate(text: string): number {
  const value = /^(?:0?\.\d{1,12}|\d(?:\.\d{1,6})?e-\d{1,2})$/i.test(text) ? Number(text) : Number.NaN;
  if (value > 0 && value < 1) return value;
  throw new InvalidArgumentError("Give a share between 0 and 1, such as 0.001 or 1e-3.");
}
