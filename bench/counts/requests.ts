import type { WireRequest } from "../harness/http-connections.ts";

/** Items of one BatchWrite. */
export const batchItems = 100;

/** Items of one BatchCreateCounts, as an import sends them. */
export const batchCreations = 1000;

/** How a write or a creation reaches the server. */
export type Lane =
  "connect-binary" | "connect-json" | "rest" | "batch-write" | "grpc" | "create-count" | "batch-create-counts";

/** Writes or creations of one call. */
export function itemsOf(lane: Lane): number {
  if (lane === "batch-write") return batchItems;
  return lane === "batch-create-counts" ? batchCreations : 1;
}

/** Whether the calls of a lane create Counts. */
export function isCreation(lane: Lane): boolean {
  return lane === "create-count" || lane === "batch-create-counts";
}

/** What the ids of the Counts begin with that a load creates. */
export const createdPrefix = "made.";

/** Id of the Count at `place`; all have the same length. */
export function countIdAt(place: number): string {
  return `bench.${place.toString().padStart(5, "0")}`;
}

/** Request ids of one sender, never used twice over all senders. */
export function createRequestIds(): () => string {
  const prefix = crypto.randomUUID().slice(0, 8);
  let next = 0;
  return () => {
    next += 1;
    return `${prefix}${next.toString(36).padStart(8, "0")}`;
  };
}

/**
 * Makes calls of a lane: increments by one of `counts` Counts, drawn evenly, each write with a request id of its own; or creations of
 * Counts that nobody else creates.
 */
export function createRequests(lane: Lane, counts: number): () => WireRequest {
  const requestId = createRequestIds();
  const ids = Array.from({ length: counts }, (_, place) => countIdAt(place));
  // Drawn before the run, the same for every sender.
  const drawn = Array.from({ length: 8192 }, (_, place) => ids[(place * 7919) % counts] as string);
  let next = 0;
  const countId = (): string => drawn[(next += 1) % drawn.length] as string;
  switch (lane) {
    case "connect-binary":
      return () => ({
        path: incrementPath,
        contentType: "application/proto",
        body: incrementOf(countId(), requestId()),
      });
    case "connect-json":
      return () => ({
        path: incrementPath,
        contentType: "application/json",
        body: `{"countId":"${countId()}","requestId":"${requestId()}"}`,
      });
    case "rest":
      return () => ({
        path: `/api/v1/counts/${countId()}/increment`,
        contentType: "application/json",
        body: `{"requestId":"${requestId()}"}`,
      });
    case "batch-write":
      return () => {
        let body = "";
        for (let item = 0; item < batchItems; item += 1) body += batchItemOf(countId(), requestId());
        return { path: "/muin.count.v1.CountWriteService/BatchWrite", contentType: "application/proto", body };
      };
    case "grpc":
      return () => ({
        path: incrementPath,
        contentType: "application/grpc",
        body: incrementOf(countId(), requestId()),
      });
    case "create-count":
      return () => ({
        path: "/muin.count.v1.CountManagementService/CreateCount",
        contentType: "application/proto",
        body: creationOf(requestId()),
      });
    case "batch-create-counts":
      return () => {
        let body = "";
        for (let item = 0; item < batchCreations; item += 1) body += fieldOf(1, creationOf(requestId()));
        return {
          path: "/muin.count.v1.CountManagementService/BatchCreateCounts",
          contentType: "application/proto",
          body,
        };
      };
    default:
      return lane satisfies never;
  }
}

/** A CreateCountRequest of field 1 count_id, 4 request_id; the request names the Count. */
function creationOf(requestId: string): string {
  return `${fieldOf(1, `${createdPrefix}${requestId}`)}${fieldOf(4, requestId)}`;
}

/** A field of protobuf binary that holds text or a message, of less than 128 bytes. */
function fieldOf(number: number, content: string): string {
  return `${byte((number << 3) | 2)}${byte(content.length)}${content}`;
}

/** Connect and gRPC path of Increment. */
export const incrementPath = "/muin.count.v1.CountWriteService/Increment";

/** An IncrementRequest in protobuf binary, as Latin-1. Lengths are below 128, hence one byte. */
export function incrementOf(countId: string, requestId: string): string {
  return `\x0a${byte(countId.length)}${countId}${requestId === "" ? "" : `\x1a${byte(requestId.length)}${requestId}`}`;
}

/** One `writes` field of a BatchWriteRequest: a Write of field 1 count_id, 2 increment, 5 request_id. */
function batchItemOf(countId: string, requestId: string): string {
  const write = `\x0a${byte(countId.length)}${countId}\x10\x01\x2a${byte(requestId.length)}${requestId}`;
  return `\x0a${byte(write.length)}${write}`;
}

function byte(value: number): string {
  return String.fromCharCode(value);
}
