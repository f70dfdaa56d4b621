import type { Message } from "@bufbuild/protobuf";
import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import { MuinError } from "../../errors/muin-error.ts";
import { mustBeSigned } from "./admission.ts";
import type { Call } from "./call.ts";
import type { CallLife } from "./life.ts";
import { ProtocolFailure } from "./map-error.ts";

/** How a lane of our own reads a request and answers it. */
export interface Exchange<R> {
  /**
   * Reads and parses the request. `prove` is given for a call that must be signed: it takes the message as it was sent, before
   * parsing. A ConnectError that is thrown is the protocol's, a MuinError is not.
   */
  read(prove: ((body: Uint8Array) => Promise<void>) | undefined): Promise<Message> | Message;
  /** The answer to a reply, which may be a part of one; what it throws is the handler's fault. */
  write(reply: Message): R;
  /** The answer to an error that was mapped. */
  refuse(error: ConnectError): R | Promise<R>;
}

/** Answers a unary call in a lane of our own: from its admission to its end, or until it is cut short. */
export function answer<R>(life: CallLife, call: Call, context: HandlerContext, exchange: Exchange<R>): Promise<R> {
  return life.settle(
    call,
    async () => {
      const admitted = life.admit(call);
      if (admitted !== undefined) await admitted;
      let request: Message;
      try {
        request = await exchange.read(mustBeSigned(call) ? (body) => life.prove(call, body) : undefined);
      } catch (error) {
        throw error instanceof MuinError ? error : protocolFailure(error);
      }
      const reply = await (life.invoke(call, request, context) as Message | Promise<Message>);
      const result = exchange.write(reply);
      life.end(call);
      return result;
    },
    (failure) => {
      life.end(call);
      return exchange.refuse(failure);
    },
  );
}

/** What reading a request threw that was no refusal of ours: the library's error, or the connection's end. */
function protocolFailure(error: unknown): ProtocolFailure {
  return new ProtocolFailure(
    error instanceof ConnectError ? error : new ConnectError("the request was cut off", Code.Canceled),
  );
}
