import { Command, Redis, type RedisOptions } from "ioredis";
import { backoffMs } from "../clock/backoff.ts";
import { awake, type Clock, systemClock } from "../clock/clock.ts";
import { type Random, systemRandom } from "../clock/random.ts";
import { MuinError } from "../errors/muin-error.ts";
import type { Component } from "../lifecycle/component.ts";
import { timeout, TimeoutError } from "../lifecycle/timeout.ts";
import type { Logger } from "../telemetry/logger.ts";
import { replyCode } from "./driver-errors.ts";
import { mapRedisError } from "./map-error.ts";
import { trustOf } from "../tls/remote-urls.ts";
import { untrusted } from "../tls/untrusted.ts";
import type { RedisReader, RedisStore } from "./redis-store.ts";
import { createSilenceWatch } from "./silence-watch.ts";

/** Until a connection is there. */
const connectTimeoutMs = 2000;
/**
 * A server that owes an answer and sends nothing for so long is cut off, and the commands under way fail with an unknown
 * outcome. A timeout per command would leave the connection open with the outcome just as unknown.
 */
const silenceMsMax = 4000;
/** The same for connections with blocking commands, which must block for less. */
const blockingSilenceMsMax = 10_000;
/** Pause between attempts to connect. */
const reconnectBackoff = { minMs: 50, maxMs: 1000 };
const probeTimeoutMs = 900;

/** How to open a Redis server. */
export interface OpenRedisOptions {
  /** `redis://user:password@host:port`, or `rediss://` with TLS; `?ca_file=` names the file of who signed the server's certificate. */
  readonly url: string;
  /** Shown by the server beside each connection. */
  readonly name: string;
  readonly clock?: Clock;
  readonly random?: Random;
  /** Told when the server goes away and when it comes back. */
  readonly log?: Logger;
}

/** `start` waits for the first attempt to connect and never fails; a lost connection is sought again for ever. */
export interface OpenRedis extends RedisStore, Component {
  /** Why the server cannot work, in words for an operator, or `undefined`. Answers within a second. */
  probe(): Promise<string | undefined>;
}

/** As `OpenRedis`, for reading. */
export interface OpenRedisReader extends RedisReader, Component {
  /** As in `OpenRedis`. */
  probe(): Promise<string | undefined>;
}

/** Opens a server for reading and writing. Commands fail at once while it is away, and none is ever sent twice. */
export function openRedis(options: OpenRedisOptions): OpenRedis {
  const client = connect(options, {});
  return { ...lifecycle(options, client), client, dedicated: () => connectForBlocking(options) };
}

/** Opens a server for reading. A read that was under way when the connection broke is sent once more. */
export function openRedisReader(options: OpenRedisOptions): OpenRedisReader {
  const client = connect(options, { autoResendUnfulfilledCommands: true, maxRetriesPerRequest: 1 });
  return { ...lifecycle(options, client), client, dedicated: () => connectForBlocking(options) };
}

function connectForBlocking(options: OpenRedisOptions): Redis {
  return connect(options, { lazyConnect: false, enableAutoPipelining: false, socketTimeout: blockingSilenceMsMax });
}

/** A connection with the settings that every writer needs; `overrides` for those who know why. */
export function connect(
  options: OpenRedisOptions,
  { socketTimeout = silenceMsMax, ...overrides }: RedisOptions,
): Redis {
  const random = options.random ?? systemRandom;
  const { url, ca } = trustOf(options.url);
  const settings: RedisOptions = {
    ...(ca === undefined ? {} : { tls: { ca } }),
    connectionName: options.name,
    lazyConnect: true,
    // A write that was sent twice would be applied twice: whoever writes decides what is safe to repeat.
    autoResendUnfulfilledCommands: false,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    enableAutoPipelining: true,
    // Scripts are batches already. In an automatic pipeline each would wait for the reply to the one before.
    autoPipeliningIgnoredCommands: ["eval", "evalsha", "ping"],
    connectTimeout: connectTimeoutMs,
    disconnectTimeout: 0, // Else its timer keeps a process from ending, also when the connection has ended before.
    retryStrategy: (attempts) => backoffMs(reconnectBackoff, attempts, random),
    disableClientInfo: true,
    ...overrides,
  };
  const client = new MappedRedis(url, settings, (own) =>
    createSilenceWatch(own, socketTimeout, options.clock ?? systemClock),
  );
  let isAway = false;
  client.on("error", (error: unknown) => {
    if (isAway) return; // Once per outage: an attempt every second would flood the log.
    isAway = true;
    options.log?.warn("redis is not reachable", { connection: options.name, err: error });
  });
  client.on("ready", () => {
    if (isAway) options.log?.info("redis is reachable again", { connection: options.name });
    isAway = false;
  });
  return client;
}

/** Ends a connection at once. The driver alone would wait for the server to close its side, which one that is stuck does not. */
export function cutOff(client: Pick<Redis, "disconnect" | "stream">): void {
  client.disconnect();
  (client.stream as Redis["stream"] | undefined)?.destroy(); // None before the first attempt to connect.
}

/** Maps what a command rejects with, whichever way it was sent. */
class MappedRedis extends Redis {
  readonly #watchSilence: () => void;

  constructor(url: string, options: RedisOptions, createWatch: (client: Redis) => () => void) {
    // With protocol 3 some replies change their shape.
    super(url, { ...options, protocol: 2, replyMapping: "legacy" });
    this.#watchSilence = createWatch(this);
    // The driver's automatic pipeline loses the name of a command given here: send it by itself.
    this.callBuffer = (...args: unknown[]) => {
      const [name, ...values] = args.flat() as [string, ...(string | Buffer | number)[]];
      const command = new Command(name, values, { replyEncoding: null });
      void this.sendCommand(command);
      return command.promise;
    };
  }

  override sendCommand(...args: Parameters<Redis["sendCommand"]>): unknown {
    const [command] = args;
    const { reject } = command;
    command.reject = (error) => reject(mapRedisError(error) as Error);
    const sent = super.sendCommand(...args);
    this.#watchSilence();
    return sent;
  }
}

function lifecycle(
  options: OpenRedisOptions,
  client: Redis,
): Component & { readonly probe: () => Promise<string | undefined> } {
  const clock = options.clock ?? systemClock;
  let failure: unknown;
  client.on("error", (error: unknown) => (failure = error));
  client.on("ready", () => (failure = undefined));
  return {
    name: `redis ${options.name}`,
    start: async () => {
      // A server that is away is no reason not to start: readiness tells, and the connection goes on trying.
      if (client.status === "wait") await client.connect().catch(() => undefined);
    },
    stop: () => {
      cutOff(client);
      return Promise.resolve();
    },
    probe: () =>
      timeout(awake(clock), probeTimeoutMs, client.ping()).then(
        () => undefined,
        (error: unknown) => describe(error, failure),
      ),
  };
}

/** What an operator is told of a failed probe, by the code of the server's reply. */
const probeWords: ReadonlyMap<string | undefined, string> = new Map([
  ["LOADING", "is loading its data"],
  ["MISCONF", "cannot write to its disk"],
  ["WRONGPASS", "refuses the credentials"],
  ["NOAUTH", "refuses the credentials"],
  ["NOPERM", "refuses the credentials"],
]);

/** `failure`: why the connection came to nothing, when it did. */
function describe(error: unknown, failure: unknown): string {
  if (error instanceof TimeoutError) return "does not answer";
  const words = probeWords.get(replyCode(error instanceof MuinError ? error.cause : error));
  if (words !== undefined) return words;
  // The first byte of an alert, where the type of a reply would stand.
  if (failure instanceof Error && failure.message.includes("Unknown RESP type 21")) return "speaks TLS: use rediss://";
  return untrusted((failure as { readonly code?: unknown } | undefined)?.code) ?? "is not reachable";
}
