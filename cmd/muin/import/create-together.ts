import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError } from "@connectrpc/connect";
import type { Status } from "../../../internal/gen/google/rpc/status_pb.ts";
import type {
  CountManagementService,
  CreateCountRequestSchema,
} from "../../../internal/gen/muin/count/v1/count_management_service_pb.ts";

/** Creations of one call at most, as the server takes them. */
export const creationsMax = 1000;

/** How long a call may take, in milliseconds: the server goes on with it, and the repetition finds it done. */
const callTimeoutMs = 60_000;

/** Asks for a Count. Rejects with why it was not created. */
export type CreateCount = (request: MessageInitShape<typeof CreateCountRequestSchema>) => Promise<void>;

/** Creates Counts: those that are asked for together, and those that come while a call is under way, with one call. */
export function createTogether(
  management: Pick<Client<typeof CountManagementService>, "batchCreateCounts">,
): CreateCount {
  let waiting: {
    readonly request: MessageInitShape<typeof CreateCountRequestSchema>;
    readonly resolve: () => void;
    readonly reject: (error: unknown) => void;
  }[] = [];
  let isUnderWay = false;

  const send = async (): Promise<void> => {
    while (waiting.length > 0) {
      const batch = waiting.slice(0, creationsMax);
      waiting = waiting.slice(creationsMax);
      try {
        const requests = batch.map(({ request }) => request);
        const { results } = await management.batchCreateCounts({ requests }, { timeoutMs: callTimeoutMs });
        for (const [place, { resolve, reject }] of batch.entries()) {
          const result = results[place]?.result;
          if (result?.case === "success") resolve();
          else reject(result?.case === "error" ? errorOf(result.value) : new Error("Muin gave no result"));
        }
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    isUnderWay = false;
  };

  return async (request) => {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    waiting.push({ request, resolve, reject });
    if (!isUnderWay) {
      isUnderWay = true;
      queueMicrotask(() => void send()); // Never rejects.
    }
    return promise;
  };
}

/** Codes by their numbers, which are the same in a Status. */
const codes: ReadonlyMap<number, Code> = new Map(
  Object.values(Code).flatMap((code) => (typeof code === "number" ? [[code, code]] : [])),
);

/** The error that a call for this one alone would have ended with. */
function errorOf({ code, message, details }: Status): ConnectError {
  const error = new ConnectError(message, codes.get(code) ?? Code.Unknown);
  for (const { typeUrl, value } of details) {
    error.details.push({ type: typeUrl.slice(typeUrl.lastIndexOf("/") + 1), value });
  }
  return error;
}
