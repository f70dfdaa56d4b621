import { Code, ConnectError, type Interceptor, type Transport } from "@connectrpc/connect";
import { createFetchClient, type UniversalClientFn } from "@connectrpc/connect/protocol";
import { createTransport } from "@connectrpc/connect/protocol-connect";
import { getOption, hasOption } from "@bufbuild/protobuf";
import { policy } from "../../../gen/muin/platform/v1/options_pb.ts";

/** Largest reply, and largest request, in bytes. */
const readBytesMax = 64 * 1024 * 1024;
const writeBytesMax = 4 * 1024 * 1024;

/**
 * Makes a transport to services behind `url` that speaks Connect over fetch and says who calls by a token, but where anybody
 * may call: what tells who calls, and renews the token, needs none. A connection that fails or breaks off is `unavailable`.
 */
export function createHttpTransport(options: {
  readonly url: string;
  /** The token of the service that calls. Rejects with ConnectError. */
  readonly token: () => Promise<string>;
  /** Certificates in PEM of who may have signed that of the other side. Default: whom the system trusts. */
  readonly ca?: string;
  /** What is shown to the other side when it asks for a certificate. Default: none. */
  readonly certificate?: () => { readonly cert: string; readonly key: string };
  /** Further headers of every call. Default: none. */
  readonly headers?: Readonly<Record<string, string>>;
}): Transport {
  const identify: Interceptor = (next) => async (request) => {
    for (const [name, value] of Object.entries(options.headers ?? {})) request.header.set(name, value);
    const isPublic = hasOption(request.method, policy) && getOption(request.method, policy).public;
    if (!isPublic) request.header.set("authorization", `Bearer ${await options.token()}`);
    // Otherwise fetch asks for compression and undoes it by itself, and the library, told of it by the header, refuses the reply.
    request.header.set("accept-encoding", "identity");
    return next(request);
  };
  return createTransport({
    baseUrl: options.url.replace(/\/+$/, ""),
    httpClient: honest(createFetchClient(secureFetch(options) as typeof fetch)),
    useBinaryFormat: true,
    interceptors: [identify],
    acceptCompression: [],
    sendCompression: null,
    compressMinBytes: writeBytesMax,
    readMaxBytes: readBytesMax,
    writeMaxBytes: writeBytesMax,
  });
}

function secureFetch({ ca, certificate }: Parameters<typeof createHttpTransport>[0]) {
  if (ca === undefined && certificate === undefined) return fetch;
  return (input: Request | string | URL, init?: RequestInit): Promise<Response> =>
    fetch(input, { ...init, tls: { ...(ca === undefined ? {} : { ca }), ...certificate?.() } });
}

/** Calls a failure of the connection by its name; the library would say "unknown". */
function honest(client: UniversalClientFn): UniversalClientFn {
  return async (request) => {
    try {
      const response = await client(request);
      return { ...response, body: honestBody(response.body, request.signal) };
    } catch (thrown) {
      throw connectionError(thrown, request.signal);
    }
  };
}

async function* honestBody(
  body: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): AsyncIterable<Uint8Array> {
  try {
    yield* body;
  } catch (thrown) {
    throw connectionError(thrown, signal);
  }
}

function connectionError(thrown: unknown, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted === true || thrown instanceof ConnectError) return thrown;
  return new ConnectError("the connection failed", Code.Unavailable, undefined, undefined, thrown);
}
