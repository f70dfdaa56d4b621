import { type Enrolment, EnrolmentSchema } from "../../../../internal/gen/muin/face/v1/enrolment_service_pb.ts";
import type { Cli } from "../../cli.ts";
import { embeddingBytes } from "../../faces/embedding.ts";
import { plain } from "../../remote/plain-message.ts";
import { printFacts } from "../../terminal/facts.ts";
import { Failure } from "../../terminal/failure.ts";
import type { Output } from "../../terminal/output.ts";
import { minuteText } from "../../terminal/time-text.ts";

/** The enrolment that a command is about. */
export const enrolmentArgument = { help: "the enrolment, as faces list names it" } as const;

/** Files of embeddings. */
export const faceOption = {
  value: "file",
  help: "embedding, as faces embed prints or writes it; - for standard input; up to ten of the same person",
  many: true,
  required: true,
} as const;

/** Enrols although the face is another person's already. */
export const overrideOption = {
  help: "although the face is another person's already; it is recorded that you said so",
} as const;

/** Characters of a file of one embedding. */
const fileCharsMax = 1 << 20;

/** What files of embeddings hold. */
export interface GivenFaces {
  readonly embeddings: readonly Uint8Array<ArrayBuffer>[];
  /** The model that all files name; `undefined` where none does. */
  readonly modelId: string | undefined;
}

/** Reads embeddings: base64 alone, or a JSON document with `embedding` and perhaps `model_id`. */
export async function readFaces(files: readonly string[], stdin: Cli["stdin"]): Promise<GivenFaces> {
  const faces = await Promise.all(files.map((file) => readFace(file, stdin)));
  const modelIds = new Set(faces.flatMap(({ modelId }) => modelId ?? []));
  if (modelIds.size > 1)
    throw new Failure("usage", `the embeddings are of several models: ${[...modelIds].join(", ")}`);
  return { embeddings: faces.map(({ embedding }) => embedding), modelId: [...modelIds][0] };
}

interface GivenFace {
  readonly embedding: Uint8Array<ArrayBuffer>;
  readonly modelId: string | undefined;
}

async function readFace(file: string, stdin: Cli["stdin"]): Promise<GivenFace> {
  const text = (await readText(file, stdin)).trim();
  const document: unknown = text.startsWith("{") ? parsed(text, file) : { embedding: text };
  const { embedding, model_id: modelId } = document as { readonly embedding?: unknown; readonly model_id?: unknown };
  const bytes = typeof embedding === "string" ? embeddingBytes(embedding) : { bad: "it has no embedding" };
  if ("bad" in bytes) throw new Failure("usage", `${file} is no embedding: ${bytes.bad}`);
  return { embedding: bytes, modelId: typeof modelId === "string" ? modelId : undefined };
}

async function readText(file: string, stdin: Cli["stdin"]): Promise<string> {
  if (file !== "-") {
    return Bun.file(file)
      .slice(0, fileCharsMax)
      .text()
      .catch((error: NodeJS.ErrnoException) => {
        throw new Failure("usage", `${file} cannot be read (${error.code ?? "unknown"})`);
      });
  }
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of stdin) {
    pieces.push(piece.slice());
    length += piece.length;
    if (length > fileCharsMax) throw new Failure("usage", "standard input is no embedding: it is too long");
  }
  return Buffer.concat(pieces).toString("utf8");
}

function parsed(text: string, file: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Failure("usage", `${file} is no embedding: it is not JSON`);
  }
}

/** How an enrolment is shown: it never holds an embedding. */
export const enrolmentShown = {
  json: plain(EnrolmentSchema),
  print: (enrolment: Enrolment, output: Output): void =>
    printFacts(
      [
        ["id", enrolment.enrolmentId],
        ["person", enrolment.memberId],
        ["branches", enrolment.branchIds.join(" ")],
        ["model", enrolment.modelId],
        ["embeddings", String(enrolment.embeddingCount)],
        ["consent", `${enrolment.consent?.textVersion ?? ""} at ${minuteText(enrolment.consent?.time)}`],
        ["recorded by", enrolment.consentRecorder],
        ["enrolled", minuteText(enrolment.createTime)],
        ["changed", minuteText(enrolment.updateTime)],
      ],
      output,
    ),
} as const;
