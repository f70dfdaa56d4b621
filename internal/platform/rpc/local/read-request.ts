import { clone, create, type DescMessage, type Message, type MessageInitShape } from "@bufbuild/protobuf";
import { callErrors } from "../call/errors.ts";
import type { MethodPlan } from "../call/plan.ts";

/** A request of its own for the handler. What the wire could not carry, half of a surrogate pair for one, is refused as there. */
export function copyIn(plan: MethodPlan, request: MessageInitShape<DescMessage>): Message {
  const { input } = plan.method;
  let message: Message | undefined;
  try {
    message = create(input, request);
    return clone(input, message);
  } catch (error) {
    if (message !== undefined) plan.checkText(message);
    throw callErrors.requestMalformed({ message: error instanceof Error ? error.message : String(error) });
  }
}

/** The same for a stream of requests. */
export async function* copyEachIn(
  plan: MethodPlan,
  requests: AsyncIterable<MessageInitShape<DescMessage>>,
): AsyncIterable<Message> {
  for await (const request of requests) yield copyIn(plan, request);
}
