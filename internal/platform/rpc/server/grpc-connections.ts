import { constants, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { Clock } from "../../clock/clock.ts";
import type { Random } from "../../clock/random.ts";
import type { Component } from "../../lifecycle/component.ts";
import { createLoop } from "../../lifecycle/loop.ts";
import { networkOf, unknownAddress } from "../../identity/network.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { Allowance } from "./allowance.ts";
import type { ConnectionLimits } from "./connection-limits.ts";
import type { StrangerRates } from "./stranger-rates.ts";
import { createStrangers, type Stranger } from "./strangers.ts";

/** A connection to the gRPC port. */
export interface GrpcConnection {
  /** Whether no call on it has shown good credentials yet. */
  readonly isStrangers: boolean;
  /** Counts a stream until it closes; one that shows credentials counts among what comes too fast unless they are good. `false`: it must be refused. */
  take(stream: ServerHttp2Stream, showsCredentials: boolean): boolean;
  /** Ends it at once, because its peer asks for too much. */
  calm(): void;
  /** A call on it showed good credentials: it is no stranger's any more. */
  know(): void;
}

/** The connections to the gRPC port, each within its bounds. While it runs it looks for those whose time is over. */
export interface GrpcConnections extends Component {
  /** Whether a new connection from this address may come in. */
  admits(address: string | undefined): boolean;
  add(session: ServerHttp2Session): void;
  of(session: ServerHttp2Session): GrpcConnection | undefined;
  /** Calls under way go on, and no new ones come. */
  closeAll(): void;
  /** Ends all at once. */
  destroyAll(): void;
}

/** Limits, time and chance, where failures are told, and who stands before the port. */
export interface GrpcConnectionsDeps {
  readonly limits: ConnectionLimits;
  readonly clock: Clock;
  readonly random: Pick<Random, "fraction">;
  readonly log: Logger;
  /** Whether proxies stand before the port: they bound their own peers, and none of theirs is a stranger. */
  readonly behindProxy: boolean;
  readonly rates: StrangerRates;
}

/** How often it is looked whose time is over, in milliseconds. Between both GOAWAY of a connection a client has as long to hear the first. */
const lookMs = 1000;
/** Connections become too old at different times, from this share of their age on: those of one moment do not all come back at one moment. */
const ageShareMin = 0.9;
/** The highest number of a stream: a GOAWAY with it refuses none that is on its way. */
const lastStream = 2 ** 31 - 1;

/** Creates the book of the connections. */
export function createGrpcConnections(deps: GrpcConnectionsDeps): GrpcConnections {
  const { limits, clock, log } = deps;
  const strangers = createStrangers(limits);
  const connections = new Map<ServerHttp2Session, Connection>();
  const look = (): Promise<void> => {
    const now = clock.monotonic();
    for (const connection of connections.values()) connection.look(now);
    return Promise.resolve();
  };
  const loop = createLoop({
    name: "gRPC connections",
    clock,
    everyMs: lookMs,
    work: look,
    onFailure: (error) => log.error("connections to the gRPC port are not looked after", { err: error }),
  });
  return {
    ...loop,
    admits: (address) => deps.behindProxy || deps.rates.connect(address ?? unknownAddress),
    add: (session) => {
      const connection = new Connection(session, deps);
      connections.set(session, connection);
      session.once("close", () => {
        connections.delete(session);
        connection.stranger?.leave();
      });
      session.on("error", (error) => log.debug("gRPC connection failed", { err: error }));
      session.on("remoteSettings", () => connection.hear());
      session.on("ping", () => connection.hear());
      if (deps.behindProxy) return connection.know();
      connection.stranger = strangers.enter(networkOf(connection.address), () => connection.calm());
    },
    of: (session) => connections.get(session),
    closeAll: () => {
      for (const session of connections.keys()) session.close();
    },
    destroyAll: () => {
      for (const session of connections.keys()) session.destroy();
    },
  };
}

class Connection implements GrpcConnection {
  /** Its place among the strangers, while it is one. */
  stranger: Stranger | undefined;
  /** Its peer's. */
  readonly address: string;
  readonly #session: ServerHttp2Session;
  readonly #limits: ConnectionLimits;
  readonly #clock: Clock;
  readonly #openedMs: number;
  readonly #ageShare: number;
  readonly #resets: Allowance;
  readonly #controls: Allowance;
  readonly #rates: StrangerRates;
  /** Its streams, each with the moment at which its reply was seen to be written. */
  readonly #streams = new Map<ServerHttp2Stream, number | undefined>();
  #isKnown = false;
  #saidHello = false;
  #quietSinceMs: number;
  /** It was told to open no more calls, and then closed to them. */
  #leaving: "told" | "closed" | undefined;
  #leavingSinceMs = 0;

  constructor(session: ServerHttp2Session, { limits, clock, random, rates }: GrpcConnectionsDeps) {
    this.address = session.socket.remoteAddress ?? unknownAddress;
    this.#session = session;
    this.#rates = rates;
    this.#limits = limits;
    this.#clock = clock;
    this.#openedMs = this.#quietSinceMs = clock.monotonic();
    this.#ageShare = ageShareMin + (1 - ageShareMin) * random.fraction();
    this.#resets = new Allowance(limits.strangerResetsMax, limits.strangerResetsPerS, clock);
    this.#controls = new Allowance(limits.strangerControlsMax, limits.strangerControlsPerS, clock);
  }

  get isStrangers(): boolean {
    return !this.#isKnown;
  }

  take(stream: ServerHttp2Stream, showsCredentials: boolean): boolean {
    const { stranger } = this;
    if (stranger?.open() === false) return false;
    this.#streams.set(stream, undefined);
    stream.once("close", () => {
      this.#streams.delete(stream);
      if (this.#streams.size === 0) this.#quietSinceMs = this.#clock.monotonic();
      stranger?.end(); // Counts nothing once it has left.
      if (stream.rstCode === constants.NGHTTP2_CANCEL && !this.#isKnown && !this.#resets.take()) this.calm();
      if (showsCredentials && !this.#isKnown && this.#rates.pass(this.address) === "flood") this.calm();
    });
    return true;
  }

  know(): void {
    this.#isKnown = true;
    if (this.stranger !== undefined) this.#rates.know(this.address);
    this.stranger?.leave();
    this.stranger = undefined;
  }

  /** It sent SETTINGS or PING. */
  hear(): void {
    this.#saidHello = true;
    if (!this.#isKnown && !this.#controls.take()) this.calm();
  }

  calm(): void {
    this.#end(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  }

  /** Ends it when its time is over. */
  look(now: number): void {
    const limits = this.#limits;
    if (!this.#isKnown) this.#endUnread(now);
    if (this.#leaving === "told") {
      this.#leaving = "closed";
      this.#session.close();
    } else if (this.#leaving === "closed") {
      const isLate = !this.#isKnown && now - this.#leavingSinceMs >= limits.strangerLastCallsMsMax;
      if (isLate || this.#streams.size === 0) this.#end(constants.NGHTTP2_NO_ERROR);
    } else if (!this.#saidHello && now - this.#openedMs >= limits.helloMsMax) {
      this.#end(constants.NGHTTP2_NO_ERROR);
    } else {
      const idleMsMax = this.#isKnown ? limits.knownIdleMsMax : limits.strangerIdleMsMax;
      const ageMsMax = this.#ageShare * (this.#isKnown ? limits.knownAgeMsMax : limits.strangerAgeMsMax);
      const isIdle = this.#streams.size === 0 && now - this.#quietSinceMs >= idleMsMax;
      if (isIdle || now - this.#openedMs >= ageMsMax) this.#tell(now);
    }
  }

  /** Ends calls whose reply is written, and which nobody reads. */
  #endUnread(now: number): void {
    for (const [stream, writtenMs] of this.#streams) {
      if (!stream.writableEnded) continue;
      if (writtenMs === undefined) this.#streams.set(stream, now);
      else if (now - writtenMs >= this.#limits.strangerReplyMsMax) stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
    }
  }

  /** Tells its peer to open another one. Calls that are on their way here meanwhile are still served. */
  #tell(now: number): void {
    this.#leaving = "told";
    this.#leavingSinceMs = now;
    this.#session.goaway(constants.NGHTTP2_NO_ERROR, lastStream);
  }

  #end(code: number): void {
    if (this.#session.destroyed) return;
    this.#session.goaway(code);
    this.#session.destroy();
  }
}
