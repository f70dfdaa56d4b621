import type { DescMethod, Message, MessageInitShape, MessageShape } from "@bufbuild/protobuf";

/**
 * Reads requests and writes replies of a hot method in protobuf binary where the generated code costs too much. It may take what is
 * usual only: what it leaves, the generated code reads and writes, as it does for a method without a codec. A test holds it to that code.
 */
export interface Codec {
  readonly method: DescMethod;
  /** As in `codecFor`. */
  readonly read: (body: Uint8Array) => Message | undefined;
  readonly write: (reply: Message) => Uint8Array | undefined;
}

/**
 * A codec for a method. `read` answers what the generated code would read, when that keeps every rule of its proto and no text in it
 * has NUL: it is not validated again. `write` answers bytes that the generated code would read as this reply. `undefined` leaves bytes
 * or reply to the generated code.
 */
export function codecFor<M extends DescMethod>(
  method: M,
  codec: {
    readonly read: (body: Uint8Array) => MessageShape<NoInfer<M>["input"]> | undefined;
    readonly write: (reply: MessageInitShape<NoInfer<M>["output"]>) => Uint8Array | undefined;
  },
): Codec {
  return { method, ...codec } as unknown as Codec; // Whoever has a codec's method has its messages.
}
