import { clone, create, type DescMessage, type Message, type MessageInitShape } from "@bufbuild/protobuf";
import { callErrors } from "../call/errors.ts";

/** A request of its own for the handler. What the wire could not carry, half of a surrogate pair for one, is refused as there. */
export function copyIn(schema: DescMessage, request: MessageInitShape<DescMessage>): Message {
  try {
    return clone(schema, create(schema, request));
  } catch (error) {
    throw callErrors.requestMalformed({ message: error instanceof Error ? error.message : String(error) });
  }
}

/** The same for a stream of requests. */
export async function* copyEachIn(
  schema: DescMessage,
  requests: AsyncIterable<MessageInitShape<DescMessage>>,
): AsyncIterable<Message> {
  for await (const request of requests) yield copyIn(schema, request);
}
