import embedFace from "./embed-face.mjs" with { type: "text" };
import { embeddingBytes } from "../faces/embedding.ts";
import { Failure } from "../terminal/failure.ts";
import { bunEnvironment, bunProgram } from "./bun-program.ts";

/** Bytes of a picture file. */
export const pictureBytesMax = 32 << 20;
/** Pixels of a picture: a small file can hold billions, and each takes memory once it is unpacked. */
const pixelsMax = 50_000_000;
/** The longest that a picture may take, in milliseconds. */
const embedMsMax = 120_000;
/** How much of what a program said that broke is shown. */
const saidCharsMax = 500;

/** A face in a picture. */
export interface EmbeddedFace {
  /** How sure the detector is, 0 to 1. */
  readonly score: number;
  /** Size in pixels, of the picture as the networks saw it. */
  readonly width: number;
  readonly height: number;
  readonly embedding: Uint8Array<ArrayBuffer>;
}

type Said =
  | { readonly unreadable: string }
  | { readonly faces: readonly (Omit<EmbeddedFace, "embedding"> & { readonly embedding: string })[] };

/**
 * The faces in a picture, largest first. The networks run in a process of their own that knows nothing of Muin, with the packages in
 * `folder`. Throws a `Failure`, in a sentence about the picture, for one that cannot be read.
 */
export async function embedPicture(options: {
  readonly folder: string;
  readonly picture: Uint8Array<ArrayBuffer>;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
}): Promise<readonly EmbeddedFace[]> {
  const { folder, picture, env, signal } = options;
  if (picture.length > pictureBytesMax) throw new Failure("failed", `it has more than ${pictureBytesMax >> 20} MiB`);
  const task = JSON.stringify({ folder, pixelsMax });
  const child = Bun.spawn([bunProgram(), "--no-env-file", "-e", embedFace, task], {
    cwd: folder,
    env: bunEnvironment({ PATH: env["PATH"], HOME: env["HOME"] }),
    stdin: new Blob([picture]),
    stdout: "pipe",
    stderr: "pipe",
    timeout: embedMsMax,
    killSignal: "SIGKILL",
    signal,
  });
  const [printed, said] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  const code = await child.exited;
  signal.throwIfAborted();
  if (code !== 0) {
    throw new Failure("failed", `the face embedder broke (${child.signalCode ?? code}): ${said.slice(-saidCharsMax)}`);
  }
  const answer = JSON.parse(printed) as Said;
  if ("unreadable" in answer) throw new Failure("failed", answer.unreadable);
  return answer.faces
    .map(({ score, width, height, embedding }) => ({ score, width, height, embedding: bytesOf(embedding) }))
    .toSorted((one, other) => other.width * other.height - one.width * one.height);
}

function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  const bytes = embeddingBytes(text);
  if ("bad" in bytes) throw new Failure("failed", `the face embedder made no embedding: ${bytes.bad}`);
  return bytes;
}
