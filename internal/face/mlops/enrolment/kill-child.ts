/**
 * A process that enrols people, and changes their faces, until it is killed, for the test that does so. Arguments: URL of mlops' database,
 * URL of the face Redis, a branch, a model. Prints a line for each acknowledged change: enrolment and how many faces it has.
 */
import { administrator, consent, newFace, startMlops } from "../mlops-fixture.ts";

const [url = "", redisUrl = "", branchId = "", modelId = ""] = process.argv.slice(2);
const mlops = await startMlops({ url, redisUrl });
const { enrolFace, addEmbedding, replaceFace } = mlops.enrolments(administrator);

/** What is acknowledged is told before anything else is asked for. */
async function tell(
  change: Promise<{
    readonly enrolment?: { readonly enrolmentId: string; readonly embeddingCount: number } | undefined;
  }>,
): Promise<string> {
  const { enrolment } = await change;
  if (enrolment === undefined) throw new Error("an enrolment is in the reply");
  process.stdout.write(`${enrolment.enrolmentId} ${enrolment.embeddingCount}\n`);
  return enrolment.enrolmentId;
}

async function work(): Promise<never> {
  for (;;) {
    const { id: memberId } = await mlops.signUp();
    const faces = { branchIds: [branchId], modelId, memberId, embeddings: [newFace()], consent };
    const enrolmentId = await tell(enrolFace(faces));
    await tell(addEmbedding({ enrolmentId, embedding: newFace() }));
    await tell(replaceFace({ enrolmentId, embeddings: [newFace(), newFace(), newFace()] }));
  }
}
await Promise.all(Array.from({ length: 4 }, work));
