import type { Message } from "@bufbuild/protobuf";
import { signatureMissing } from "../../identity/call-signature.ts";
import { mustBeSigned } from "./admission.ts";
import type { Call } from "./call.ts";
import { callErrors } from "./errors.ts";
import type { MethodPlan } from "./plan.ts";

/** Refuses a call that must be signed and was not proven; gives the request the header Idempotency-Key, and validates it. */
export function accept(call: Call, request: Message): void {
  if (call.signature === undefined && mustBeSigned(call)) throw signatureMissing();
  const idempotencyKey = call.origin.header.get("idempotency-key");
  if (idempotencyKey !== null) applyIdempotencyKey(call.plan, request, idempotencyKey);
  if (request === call.validRequest && idempotencyKey === null) return;
  call.plan.validate(request);
}

/** The same for a stream of requests, each when it is read. */
export function acceptEach(call: Call, requests: AsyncIterable<Message>): AsyncIterable<Message> {
  return {
    [Symbol.asyncIterator]: () => {
      const inner = requests[Symbol.asyncIterator]();
      return {
        next: async () => {
          const result = await inner.next();
          if (result.done !== true) accept(call, result.value);
          return result;
        },
        return: async () => (await inner.return?.()) ?? { done: true, value: undefined },
      };
    },
  };
}

function applyIdempotencyKey(plan: MethodPlan, request: Message, idempotencyKey: string): void {
  if (!plan.hasRequestId) throw callErrors.idempotencyKeyUnsupported();
  const target = request as Message & { requestId: string };
  if (target.requestId === "") {
    target.requestId = idempotencyKey;
  } else if (target.requestId !== idempotencyKey) {
    throw callErrors.idempotencyKeyDiffers({
      violations: [{ field: "request_id", description: "must equal the header Idempotency-Key" }],
    });
  }
}
