import { clone, create, type DescMessage, type Message } from "@bufbuild/protobuf";
import type { Call } from "../call/call.ts";
import type { CallLife } from "../call/life.ts";

/** A reply of its own for the caller, complete even when the handler returned a part. */
export function copyOut(schema: DescMessage, reply: Message): Message {
  return clone(schema, create(schema, reply));
}

/** The same for a stream of replies, whose end ends the call. */
export function copyEachOut(call: Call, life: CallLife, replies: AsyncIterable<Message>): AsyncIterable<Message> {
  const { output } = call.plan.method;
  return {
    [Symbol.asyncIterator]: () => {
      const inner = replies[Symbol.asyncIterator]();
      return {
        next: async () => {
          try {
            const result = await inner.next();
            if (result.done !== true) return { done: false, value: copyOut(output, result.value) };
            life.end(call);
            return result;
          } catch (error) {
            const failure = call.failure ?? life.fail(call, error);
            life.end(call);
            throw failure;
          }
        },
        return: async () => {
          await inner.return?.();
          life.end(call);
          return { done: true, value: undefined };
        },
      };
    },
  };
}
