import type { Client } from "@connectrpc/connect";
import type { CountImportService } from "../../../internal/gen/muin/count/v1/count_import_service_pb.ts";
import type { CountManagementService } from "../../../internal/gen/muin/count/v1/count_management_service_pb.ts";
import type { Repeat } from "../remote/repeat.ts";
import { createOnceCreated, createServerClaims } from "./server-claims.ts";
import type { ImportTarget } from "./target.ts";

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
  const onceCreated = createOnceCreated(repeat);
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
    claim: createServerClaims(management, repeat),
    apply: async (importId, sequence, batch) => {
      const request = {
        importId,
        sequence: BigInt(sequence),
        offsetEnd: BigInt(batch.offsetEnd),
        writes: Array.from(batch.writes, ([countId, delta]) => ({ countId, delta: BigInt(delta) })),
        assignments: [...batch.assignments],
        lines: BigInt(batch.lines),
        ...(batch.tailHash === undefined ? {} : { tailHash: batch.tailHash }),
      };
      const { refused } = await onceCreated(() => imports.importBatch(request, { timeoutMs: batchTimeoutMs }));
      return refused.map(({ countId, delta, reason }) => ({ countId, lines: Number(delta), reason }));
    },
  };
}
