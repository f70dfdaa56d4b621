import { createHash } from "node:crypto";
import { type Client, Code, ConnectError } from "@connectrpc/connect";
import type { CountImportService } from "../../../internal/gen/muin/count/v1/count_import_service_pb.ts";
import type { CountManagementService } from "../../../internal/gen/muin/count/v1/count_management_service_pb.ts";
import type { Repeat } from "../remote/repeat.ts";
import { displayNameOf } from "./count-id.ts";
import type { ImportTarget } from "./target.ts";

/** Counts created at once. */
const creationsMax = 32;

/** How long a batch may take, in milliseconds: the server goes on with it, and the repetition finds it done. */
const batchTimeoutMs = 60_000;

/** Assignments asked for at once. */
const pageSize = 1000;

/**
 * Creates a target that counts in a running Muin. Every call goes through `repeat`: all are safe to repeat. Once the import is begun,
 * Muin is there and is waited for when it goes away.
 */
export function createServerTarget(
  imports: Client<typeof CountImportService>,
  management: Client<typeof CountManagementService>,
  repeat: Repeat,
): ImportTarget {
  const patient = { patient: true };
  const createCount = async (importId: string, countId: string, value: string): Promise<void> => {
    const requestId = createHash("sha256").update(`${importId}\n${countId}`).digest("hex").slice(0, 32);
    try {
      await repeat(
        () => management.createCount({ countId, countInfo: { displayName: displayNameOf(value) }, requestId }),
        patient,
      );
    } catch (error) {
      if (error instanceof ConnectError && error.code === Code.AlreadyExists) return; // Any Count of that id will do.
      throw error;
    }
  };
  return {
    start: async (request) => {
      const reply = await repeat(() => imports.startImport(request));
      return {
        importId: reply.importId,
        offset: Number(reply.offset),
        sequence: Number(reply.sequence),
        lines: Number(reply.lines),
        ...(reply.tailHash.length === 0 ? {} : { tailHash: reply.tailHash }),
      };
    },
    assignments: async function* assignments(importId) {
      let pageToken = "";
      do {
        const request = { importId, pageSize, pageToken };
        const page = await repeat(() => imports.getImport(request), patient);
        yield* page.assignments;
        pageToken = page.nextPageToken;
      } while (pageToken !== "");
    },
    apply: async (importId, sequence, batch, tailHash) => {
      for (let from = 0; from < batch.assignments.length; from += creationsMax) {
        const some = batch.assignments.slice(from, from + creationsMax);
        await Promise.all(some.map(({ countId, value }) => createCount(importId, countId, value)));
      }
      const request = {
        importId,
        sequence: BigInt(sequence),
        offsetEnd: BigInt(batch.offsetEnd),
        writes: Array.from(batch.writes, ([countId, delta]) => ({ countId, delta: BigInt(delta) })),
        assignments: [...batch.assignments],
        lines: BigInt(batch.lines),
        ...(tailHash === undefined ? {} : { tailHash }),
      };
      const { refused } = await repeat(() => imports.importBatch(request, { timeoutMs: batchTimeoutMs }), patient);
      return refused.map(({ countId, delta, reason }) => ({ countId, lines: Number(delta), reason }));
    },
  };
}
