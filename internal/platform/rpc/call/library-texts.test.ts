import { createConnectRouter } from "@connectrpc/connect";
import { ConnectError } from "@connectrpc/connect";
import { createMethodSerializationLookup, type UniversalServerResponse } from "@connectrpc/connect/protocol";
import { endStreamFromJson } from "@connectrpc/connect/protocol-connect";
import { expect, test } from "bun:test";
import { ProbeService } from "../testdata/probe_pb.ts";
import { single } from "./single.ts";
import { isLibraryError, libraryTexts } from "./library-texts.ts";

/** Each provokes the library itself: an update that words an error anew fails here. */
const provoked: Readonly<Record<keyof typeof libraryTexts, () => Promise<unknown>>> = {
  binaryMalformed: async () => {
    const limits = { readMaxBytes: 100, writeMaxBytes: 100 };
    const serialization = createMethodSerializationLookup(ProbeService.method.slow, undefined, undefined, limits);
    return serialization.getI(true).parse(Uint8Array.of(10, 5, 1));
  },
  compressionUnnamed: async () => {
    const { handlers } = createConnectRouter().rpc(ProbeService.method.collect, async (requests) => {
      await Array.fromAsync(requests);
      return {};
    });
    const response = await handlers[0]!({
      httpVersion: "1.1",
      method: "POST",
      url: `http://localhost/${ProbeService.typeName}/Collect`,
      header: new Headers({ "content-type": "application/connect+proto" }),
      body: single(Uint8Array.of(1, 0, 0, 0, 1, 0)),
      signal: new AbortController().signal,
    });
    throw endOf(response, await Array.fromAsync(response.body as AsyncIterable<Uint8Array>));
  },
};

function endOf({ status }: UniversalServerResponse, chunks: readonly Uint8Array[]): unknown {
  const [envelope] = chunks.slice(-1);
  return envelope === undefined ? new Error(`status ${status}`) : endStreamFromJson(envelope.subarray(5)).error;
}

const texts = Object.keys(libraryTexts) as (keyof typeof libraryTexts)[];

test.each(texts)("the library words %s so", async (text) => {
  const error = await provoked[text]().catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(ConnectError);
  expect(texts.filter((each) => isLibraryError(error as ConnectError, each))).toEqual([text]);
});
