import { join } from "node:path";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { ConnectError } from "@connectrpc/connect";
import { InvalidArgumentError } from "commander";
import { Decision, DecisionReason } from "../../../internal/gen/muin/face/v1/entry_pb.ts";
import { createSyntheticFaces, type SyntheticFaces } from "../../../internal/shared/faces/synthetic-faces.ts";
import { makeScene, syntheticModel, type Scene } from "../door/scene.ts";
import { createView } from "../door/view.ts";
import { walk, type Answer, type Walker, type WalkPlan } from "../door/walk.ts";
import { bytesOfValues } from "../faces/embedding.ts";
import { type Remote, remoteCommand } from "../remote/remote-command.ts";
import { reasonOf } from "../terminal/failure.ts";
import { wholeNumber } from "../terminal/values.ts";

const details = `Nobody's face is used: people are made up from the seed, with scores as those of real faces are distributed. The same seed takes
the same people, and those of an earlier run again. They have accounts (walker-SEED-NUMBER@door.example), a membership, and a branch of their
own that is always open; --clean-up deletes all of that at the end. There are as many devices as the rate takes, since one may make two attempts
a second; they are ended with the command.

Visits come at a steady rate, whatever the door takes, and each counts from when it was due. A face of somebody enrolled is another photograph
than the one that was enrolled, a good one or a bad one: some are turned away. After many denials a device is locked out for a while.`;

/** `muin door`. */
export const door = remoteCommand({
  name: "door",
  description: "walk made-up people to a door, show what it decides, and measure it",
  options: {
    people: { value: "number", help: "people to enrol", parse: wholeNumber(1, 1000), default: 20 },
    rate: { value: "number", help: "visits a second", parse: wholeNumber(1, 1000), default: 5 },
    seconds: { value: "number", help: "for how long", parse: wholeNumber(1, 86_400), default: 20 },
    strangers: { value: "share", help: "share of visits by people who are not enrolled", parse: share, default: 0.1 },
    seed: { value: "number", help: "what people are made up from", parse: wholeNumber(0, 4_294_967_295), default: 1 },
    branch: { value: "branch-id", help: "the branch (default: one that is made)" },
    cleanUp: { help: "at the end delete the people, their faces and the branch" },
  },
  details,
  examples: [
    "muin door",
    "muin door --people 200 --rate 50 --seconds 60 --strangers 0.02",
    "muin door --clean-up --json",
  ],
  run: async (given, muin) => {
    const { output, clock, signal } = muin;
    const { seed } = given;
    const faces = createSyntheticFaces({ seed, dimensions: syntheticModel.dimensions });
    const mailFolder = await muin
      .dataFolder()
      .then((folder) => (folder === undefined ? undefined : join(folder, "mail")));
    const scene = await makeScene(
      {
        seed,
        people: given.people,
        rate: given.rate,
        branch: given.branch,
        faces,
        onEnrolled: (count) => output.progress(`${count} of ${given.people} people enrolled`),
      },
      { ...muin, mailFolder },
    );
    output.progress("");
    const plan: WalkPlan = {
      seed,
      people: given.people,
      rate: given.rate,
      seconds: given.seconds,
      strangers: given.strangers,
    };
    const view = createView(plan, { output, clock, json: given.json === true });
    try {
      view.begin(scene);
      const ask = (walker: Walker): Promise<Answer> => identify(walker, { scene, faces, muin });
      await untilReady(ask, muin);
      const memberIdOf = (person: number): string => scene.memberIds[person] ?? "";
      view.end(await walk(plan, { clock, signal, ask, memberIdOf, onVisit: view.show }));
    } finally {
      await scene.end(given.cleanUp === true);
    }
  },
});

const nonceBytes = 16;

/** Takes a photograph of somebody at the door, and asks whether to open. */
async function identify(
  { kind, number, photograph }: Walker,
  { scene, faces, muin }: { readonly scene: Scene; readonly faces: SyntheticFaces; readonly muin: Remote },
): Promise<Answer> {
  const face = faces.photographOf(kind === "stranger" ? firstStranger + number : number, photograph);
  const request = {
    branchId: scene.branchId,
    modelId: syntheticModel.modelId,
    embedding: bytesOfValues(face),
    capturedAt: timestampFromMs(muin.clock.now()),
    nonce: Buffer.from(muin.random.bytes(nonceBytes)).toString("base64url"),
  };
  const device = scene.devices[photograph % scene.devices.length];
  try {
    const reply = await device?.access.identify(request, { headers: device.headers });
    const accessDecision = reply?.accessDecision;
    const reason = reasonName(accessDecision?.reason);
    if (accessDecision?.decision !== Decision.GRANTED) return { kind: "denied", reason };
    return { kind: "granted", reason, memberId: accessDecision.memberId };
  } catch (error) {
    if (!(error instanceof ConnectError)) throw error;
    return { kind: "refused", reason: reasonOf(error) ?? error.rawMessage };
  }
}

function reasonName(reason: DecisionReason | undefined): string {
  return Object.entries(DecisionReason).find(([, value]) => value === reason)?.[0] ?? "UNSPECIFIED";
}

/** Strangers are people of the same seed whom nobody enrols. */
const firstStranger = 1_000_000;

/** How long the door may take to hear of its branch, people and faces, in milliseconds. */
const readyMsMax = 30_000;
const readyPollMs = 300;

/** Resolves once the door knows who is enrolled: it hears of memberships by events. */
async function untilReady(ask: (walker: Walker) => Promise<Answer>, { clock, signal, output }: Remote): Promise<void> {
  const untilMs = clock.monotonic() + readyMsMax;
  for (let photograph = firstStranger; clock.monotonic() < untilMs; photograph++) {
    const { kind } = await ask({ kind: "enrolled", number: 0, photograph });
    if (kind === "granted") return;
    output.progress("waiting for the door to know the people");
    await clock.sleep(readyPollMs, signal);
  }
}

function share(text: string): number {
  const value = /^(?:0|1|0?\.\d{1,6}|1\.0*)$/.test(text) ? Number(text) : Number.NaN;
  if (value >= 0 && value <= 1) return value;
  throw new InvalidArgumentError("Give a share from 0 to 1, such as 0.1.");
}
