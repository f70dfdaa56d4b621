import type { Gallery } from "../../../../../internal/gen/muin/face/v1/face_model_pb.ts";
import { FaceModelService } from "../../../../../internal/gen/muin/face/v1/face_model_service_pb.ts";
import { type Remote, remoteCommand } from "../../../remote/remote-command.ts";
import { Failure, toFailure } from "../../../terminal/failure.ts";
import { wholeNumber } from "../../../terminal/values.ts";
import { galleryShown, galleryText } from "./model-shown.ts";

/** A part of a renewal may take long: it turns hundreds of faces. */
const timeoutMs = 120_000;
/** For so long a call is repeated while Muin is away, in milliseconds: a restart of Muin does not end a renewal. */
const withinMs = 60_000;
const pageSize = 1000;
const generationMax = 2 ** 31 - 1;

const details = `What was stolen of the face store before is worthless from then on. After a change of the secret, renew the galleries of every
branch; MUIN_FACE_TEMPLATE_SECRET_FORMER is needed until then. Doors go on deciding meanwhile, and faces may be enrolled and erased.

Interrupt it at any moment: with the --generation that it names, the same command finishes what was begun, and renews nothing twice.`;

/** `muin faces models renew`. */
export const renew = remoteCommand({
  name: "renew",
  description: "protect a branch's faces anew, by the present template secret; no call is refused meanwhile",
  arguments: { modelId: { help: "the model" } },
  options: {
    branch: { value: "branch-id", help: "the branch", required: true },
    generation: {
      value: "number",
      help: "renew only this generation of them, and nothing where that is done (default: the present one)",
      parse: wholeNumber(1, generationMax),
    },
  },
  details,
  examples: [
    "muin faces models renew arc-r100 --branch 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55",
    "muin faces models renew arc-r100 --branch 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55 --generation 3",
  ],
  call: async ({ modelId, branch: branchId, generation: given }, muin) => {
    const { output } = muin;
    const generation = given ?? (await generationOf(branchId, modelId, muin));
    try {
      return await renewAll({ branchId, modelId, generation }, muin);
    } catch (error) {
      const { exit, message } = toFailure(error);
      if (given !== undefined) throw error;
      throw new Failure(exit, `${message}; the same command with --generation ${generation} finishes it`, {
        cause: error,
      });
    } finally {
      output.progress("");
    }
  },
  json: galleryShown.json,
  print: (gallery, output) =>
    output.print(`the faces of branch ${gallery.branchId} by ${gallery.modelId}: ${galleryText(gallery)}`),
});

/** Renews a generation, part by part; returns the gallery as it is then. */
async function renewAll(
  named: { readonly branchId: string; readonly modelId: string; readonly generation: number },
  { client, repeat, output }: Remote,
): Promise<Gallery | undefined> {
  let told = false;
  const onPause = (): void => {
    if (!told) output.note("waiting for Muin");
    told = true;
  };
  for (let pageToken = "", parts = 1; ; parts += 1) {
    output.progress(`generation ${named.generation}: part ${parts}`);
    const request = { ...named, pageToken };
    const page = await repeat(() => client(FaceModelService).renewTemplates(request, { timeoutMs }), {
      withinMs,
      onPause,
    });
    pageToken = page.nextPageToken;
    if (pageToken === "") return page.gallery;
  }
}

/** The present generation of a branch's faces by a model. */
async function generationOf(branchId: string, modelId: string, { client, repeat }: Remote): Promise<number> {
  for (let pageToken = ""; ;) {
    const page = await repeat(() => client(FaceModelService).listFaceModels({ branchId, pageSize, pageToken }));
    const gallery = page.galleries.find((each) => each.modelId === modelId);
    if (gallery !== undefined) return gallery.generation;
    pageToken = page.nextPageToken;
    if (pageToken === "") throw new Failure("notFound", `branch ${branchId} has no faces by the model ${modelId}`);
  }
}
