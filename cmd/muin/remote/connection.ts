import type { KeyObject } from "node:crypto";
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import type { DescService } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createFetchClient } from "@connectrpc/connect/protocol";
import { createTransport } from "@connectrpc/connect/protocol-connect";
import { parseHttpUrl } from "../../../internal/platform/config/http-url.ts";
import { type Environment, readConfig } from "../../../internal/platform/config/read-config.ts";
import { defaultDataPath, readCredentials, readRunRecord } from "../../../internal/platform/local/data-folder.ts";
import { untrusted } from "../../../internal/platform/tls/untrusted.ts";
import { createSigningFetch } from "../../../internal/platform/identity/signing-fetch.ts";
import type { Cli } from "../cli.ts";
import { cliConfig } from "./cli-config.ts";
import { Failure } from "../terminal/failure.ts";

/** How long a call may take unless it says otherwise, in milliseconds. */
const timeoutMsDefault = 15_000;

/** Largest reply, in bytes. */
const readMaxBytes = 64 << 20;

/** Where to find Muin, as the command line said it. */
export interface ConnectionOptions {
  readonly url: string | undefined;
  readonly dataDir: string | undefined;
}

/** A Muin to talk to, which is looked for at the first call. */
export interface Connection {
  /** Its base URL. */
  readonly url: () => Promise<string>;
  /** URL of its operator port; `undefined` when Muin was not found by its data folder. */
  readonly operator: () => Promise<string | undefined>;
  /** Its data folder; `undefined` when Muin was not found by that. */
  readonly dataFolder: () => Promise<string | undefined>;
  /** A client of one of its RPC services. Its calls end when `signal` is aborted; by default the signal of the connection. */
  readonly client: <S extends DescService>(service: S, signal?: AbortSignal) => Client<S>;
  /** The same with each call signed by a device's key instead of an API key. */
  readonly deviceClient: <S extends DescService>(service: S, privateKey: KeyObject) => Client<S>;
}

/**
 * Finds Muin: at `--url` or `MUIN_URL` with the key in `MUIN_API_KEY` or the file `MUIN_API_KEY_FILE`; otherwise the one that runs
 * on the local data folder, by default with the operator key kept there. The operator key is sent nowhere else.
 */
export function createConnection(
  options: ConnectionOptions,
  { env, clock, random }: Pick<Cli, "env" | "clock" | "random">,
  signal: AbortSignal,
): Connection {
  let located: Promise<Located> | undefined;
  const found = (): Promise<Located> => (located ??= locate(options, env));
  return {
    url: async () => (await found()).url,
    operator: async () => (await found()).operator,
    dataFolder: async () => (await found()).dataFolder,
    client: (service, until = signal) =>
      createClient(
        service,
        lateTransport(async () => transportOf(await found()), until),
      ),
    deviceClient: (service, privateKey) => {
      const open = async (): Promise<Transport> => {
        const place = await found();
        const send = createSigningFetch({ privateKey, clock, random, send: reachingFetch(place) });
        return transportOf({ ...place, key: undefined }, send);
      };
      return createClient(service, lateTransport(open, signal));
    },
  };
}

/** A transport that is opened at its first call, and whose calls end with a signal. */
function lateTransport(open: () => Promise<Transport>, signal: AbortSignal): Transport {
  let opened: Promise<Transport> | undefined;
  const transport = (): Promise<Transport> => (opened ??= open());
  return {
    unary: async (method, given = signal, ...rest) => (await transport()).unary(method, given, ...rest),
    stream: async (method, given = signal, ...rest) => (await transport()).stream(method, given, ...rest),
  };
}

/** Where Muin is and the key to talk to it with. */
interface Located {
  readonly url: string;
  readonly operator?: string | undefined;
  readonly dataFolder?: string;
  readonly key: string | undefined;
  /** Certificates in PEM of who may have signed Muin's; `undefined`: whom the system trusts. */
  readonly ca: string | undefined;
}

async function locate(options: ConnectionOptions, env: Environment): Promise<Located> {
  const settings = readConfig("", cliConfig, env);
  const given = settings.apiKey.reveal() === "" ? undefined : settings.apiKey.reveal().trim();
  const url = options.url ?? (options.dataDir === undefined && settings.url !== "" ? settings.url : undefined);
  const ca = settings.caFile === "" ? undefined : await readIssuer(settings.caFile);
  if (url !== undefined) return { url: baseUrl(url), key: given, ca };

  const folder = resolve(options.dataDir ?? (settings.dataDir === "" ? defaultDataPath(env) : settings.dataDir));
  const local = await ownerOnly(folder, readRunRecord);
  if (local?.http === undefined) {
    throw new Failure(
      "unreachable",
      local === undefined
        ? `no Muin runs on the data folder ${folder}; start it with "muin up", or name another with --url or --data-dir`
        : `the Muin on the data folder ${folder} is still starting; try again in a moment`,
    );
  }
  return {
    url: local.http,
    operator: local.operator,
    dataFolder: folder,
    key: given ?? (await ownerOnly(folder, readCredentials))?.["operator_key"],
    ca: ca ?? (local.caFile === undefined ? undefined : await readIssuer(local.caFile)),
  };
}

async function readIssuer(path: string): Promise<string> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    throw new Failure("usage", `the certificate ${path} cannot be read (${error.code ?? "unknown"})`);
  });
  if (text.includes("BEGIN CERTIFICATE")) return text;
  throw new Failure("usage", `${path} holds no certificate in PEM`);
}

/** Reads what only the folder's owner may. */
async function ownerOnly<T>(folder: string, read: (path: string) => Promise<T>): Promise<T> {
  try {
    return await read(folder);
  } catch (error) {
    if (error instanceof Error && "code" in error && (error.code === "EACCES" || error.code === "EPERM")) {
      throw new Failure(
        "refused",
        `the data folder ${folder} belongs to another user; name Muin with --url and MUIN_API_KEY`,
      );
    }
    throw error;
  }
}

function baseUrl(text: string): string {
  const url = parseHttpUrl(text.includes("://") ? text : `http://${text}`);
  if (url === undefined) throw new Failure("usage", `"${text}" is not a URL; write it like http://127.0.0.1:8080`);
  if (url.username + url.password + url.search + url.hash !== "" || /[?#]$/.test(text)) {
    throw new Failure("usage", `"${url.host}" is named with more than an address; write it like http://127.0.0.1:8080`);
  }
  return url.href.replace(/\/+$/, "");
}

type Send = (request: Request) => Promise<Response>;

function transportOf(located: Located, send: Send = reachingFetch(located)): Transport {
  const { url, key } = located;
  return createTransport({
    baseUrl: url,
    httpClient: createFetchClient(send as typeof globalThis.fetch),
    useBinaryFormat: true,
    useHttpGet: false,
    interceptors: [
      (next) => (request) => {
        // Fetch would ask for gzip by itself, unpack it, and leave the header that says it is packed.
        request.header.set("accept-encoding", "identity");
        if (key !== undefined && !request.header.has("authorization")) {
          request.header.set("authorization", `Bearer ${key}`);
        }
        return next(request);
      },
    ],
    acceptCompression: [],
    sendCompression: null,
    compressMinBytes: 0,
    readMaxBytes,
    writeMaxBytes: readMaxBytes,
    defaultTimeoutMs: timeoutMsDefault,
  });
}

/** Thrown inside a ConnectError as its cause when the connection itself was refused: nothing was sent. */
export class ConnectionRefused extends Error {
  override readonly name = "ConnectionRefused";
}

/** A fetch whose failures say where Muin was looked for, and whether anything can have reached it. */
function reachingFetch({ url, ca }: Located): Send {
  return async (request) => {
    let response: Response;
    try {
      response = await fetch(request, ca === undefined ? {} : { tls: { ca } });
    } catch (error) {
      if (request.signal.aborted) throw error;
      const code = error instanceof Error && "code" in error ? error.code : undefined;
      if (code === "ECONNREFUSED" || code === "ENOTFOUND") {
        const text = `no Muin answers at ${url}; start it with "muin up", or name another with --url`;
        throw new ConnectError(text, Code.Unavailable, undefined, undefined, new ConnectionRefused(text));
      }
      const distrust = untrusted(code);
      if (distrust !== undefined) {
        const text = `what answers at ${url} ${distrust}`;
        throw new ConnectError(text, Code.Unavailable, undefined, undefined, new ConnectionRefused(text));
      }
      throw new ConnectError(`the connection to ${url} broke`, Code.Unavailable, undefined, undefined, error);
    }
    if (!response.ok && response.headers.get("content-type")?.startsWith("application/") !== true) {
      await response.body?.cancel();
      throw new ConnectError(
        `what answers at ${url} is not Muin's HTTP address (status ${response.status})`,
        response.status >= 502 && response.status <= 504 ? Code.Unavailable : Code.Unimplemented,
      );
    }
    return response;
  };
}
