import { open } from "node:fs/promises";
import { readConfig } from "../../../../internal/platform/config/read-config.ts";
import { SetupError } from "../../../../internal/platform/local/setup-error.ts";
import type { Cli } from "../../cli.ts";
import { type EmbeddedFace, embedPicture, pictureBytesMax } from "../../embedder/embed-picture.ts";
import { embedderModelId } from "../../embedder/model.ts";
import { provideEmbedder } from "../../embedder/provide-embedder.ts";
import { cliConfig } from "../../remote/cli-config.ts";
import { localCommand } from "../../terminal/command.ts";
import { Failure } from "../../terminal/failure.ts";

const details = `For trying Muin out. It is no security product: a recognition network of 2017 (dlib's, 128 numbers) that nobody certified, without
any check that there is a living face before the camera: a photograph of a photograph passes. Doors that keep somebody out need
an embedder on the device that was tested for it, with its own model (muin faces models register).

The picture, JPEG, PNG, WebP or GIF, stays on this machine. The networks come from the npm registry (@vladmandic/face-api 1.7.15, MIT) into the
user's cache at the first use; MUIN_FACE_EMBEDDER names a folder that has them already. They run in a process of their own.`;

/** `muin faces embed`. */
export const embed = localCommand({
  name: "embed",
  description: "make an embedding of the face in a photograph, for trying Muin out",
  arguments: { picture: { help: "JPEG, PNG, WebP or GIF; - for standard input" } },
  options: {
    largest: { help: "of several faces take the largest" },
    json: { help: "print model, embedding and the face's size as one JSON document" },
    out: { value: "file", help: "write that document to a new file that only you can read, and nothing else" },
  },
  details,
  examples: ["muin faces embed ada.jpg --out ada.json", "muin faces embed group.jpg --largest --json"],
  run: async (given, cli) => {
    const face = await faceIn(given, cli);
    const embedding = Buffer.from(face.embedding).toString("base64");
    const { score, width, height } = face;
    const document = { model_id: embedderModelId, embedding, face: { score, width, height } };
    if (given.out !== undefined) await writeNew(given.out, `${JSON.stringify(document)}\n`);
    else if (given.json === true) cli.output.json(document);
    else cli.output.print(embedding);
  },
});

/** The face that is meant in a picture. */
async function faceIn(
  given: { readonly picture: string; readonly largest?: boolean | undefined },
  cli: Cli,
): Promise<EmbeddedFace> {
  const { env, output, clock, random } = cli;
  const signal = cli.signal();
  const picture = await readPicture(given.picture, cli.stdin);
  const preset = readConfig("", cliConfig, env).faceEmbedder;
  const report = (line: string): void => output.note(line);
  const folder = await provideEmbedder({ preset, env, report, clock, random, signal }).catch((error: unknown) => {
    throw error instanceof SetupError ? new Failure("failed", error.message) : error;
  });
  const [face, ...others] = await embedPicture({ folder, picture, env, signal }).catch((error: unknown) => {
    throw error instanceof Failure ? new Failure("failed", `${given.picture}: ${error.message}`) : error;
  });
  if (face === undefined) throw new Failure("failed", `${given.picture}: there is no face in it`);
  if (others.length > 0 && given.largest !== true) {
    throw new Failure(
      "failed",
      `${given.picture}: there are ${others.length + 1} faces in it; --largest takes the largest`,
    );
  }
  return face;
}

async function readPicture(path: string, stdin: Cli["stdin"]): Promise<Uint8Array<ArrayBuffer>> {
  if (path !== "-") {
    const start = Bun.file(path).slice(0, pictureBytesMax + 1);
    return start.bytes().catch((error: NodeJS.ErrnoException) => {
      throw new Failure("failed", `${path} cannot be read (${error.code ?? "unknown"})`);
    });
  }
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of stdin) {
    pieces.push(piece.slice());
    length += piece.length;
    if (length > pictureBytesMax) break; // What follows is refused.
  }
  return Uint8Array.from(Buffer.concat(pieces));
}

async function writeNew(path: string, text: string): Promise<void> {
  try {
    const file = await open(path, "wx", 0o600);
    await file.writeFile(text).finally(() => file.close());
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
    throw new Failure("failed", code === "EEXIST" ? `${path} is there already` : `${path} cannot be written (${code})`);
  }
}
