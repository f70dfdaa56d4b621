import type { ConnectionLimits } from "./connection-limits.ts";

/** A stranger's connection. */
export interface Stranger {
  /** A stream was opened. `false`: it must be refused, and counts nothing. */
  open(): boolean;
  /** A stream that was opened ended. */
  end(): void;
  /** It is closed, or no stranger's any more. Idempotent. */
  leave(): void;
}

/** Strangers' connections and the streams on them, bounded per network and in all. */
export interface Strangers {
  /** Takes in a connection. `close` ends it when there are too many; it has left then. */
  enter(network: string, close: () => void): Stranger;
}

/** Creates the book of them. Who has most gives way, so that a newcomer from elsewhere always finds a place. */
export function createStrangers(
  limits: Pick<
    ConnectionLimits,
    "strangersPerNetworkMax" | "strangersMax" | "strangerStreamsPerNetworkMax" | "strangerStreamsMax"
  >,
): Strangers {
  const networks = new Map<string, Network>();
  const total = { connections: 0, streams: 0 };
  return {
    enter: (name, close) => {
      let network = networks.get(name);
      if (network === undefined) networks.set(name, (network = { connections: new Set(), streams: 0 }));
      const own = network;
      const connection: Connection = {
        streams: 0,
        leave: () => {
          if (!own.connections.delete(connection)) return;
          own.streams -= connection.streams;
          total.streams -= connection.streams;
          total.connections -= 1;
          if (own.connections.size === 0) networks.delete(name);
        },
        close: () => {
          connection.leave();
          close();
        },
      };
      own.connections.add(connection);
      total.connections += 1;
      if (own.connections.size > limits.strangersPerNetworkMax) oldestOf(own).close();
      else if (total.connections > limits.strangersMax) {
        oldestOf(most(networks.values(), ({ connections }) => connections.size)).close();
      }
      const isIn = (): boolean => own.connections.has(connection);
      const count = (change: 1 | -1): void => {
        connection.streams += change;
        own.streams += change;
        total.streams += change;
      };
      return {
        open: () => {
          if (!isIn() || own.streams >= limits.strangerStreamsPerNetworkMax) return false;
          count(1);
          if (total.streams > limits.strangerStreamsMax) {
            most(most(networks.values(), byStreams).connections, byStreams).close();
          }
          return true;
        },
        end: () => {
          if (isIn()) count(-1);
        },
        leave: connection.leave,
      };
    },
  };
}

interface Network {
  /** In the order in which they came. */
  readonly connections: Set<Connection>;
  streams: number;
}

interface Connection {
  streams: number;
  readonly leave: () => void;
  readonly close: () => void;
}

function byStreams({ streams }: { readonly streams: number }): number {
  return streams;
}

function oldestOf({ connections }: Network): Connection {
  const [oldest] = connections;
  if (oldest === undefined) throw new Error("a network without connections");
  return oldest;
}

/** The first of those that have most. */
function most<T>(all: Iterable<T>, amountOf: (each: T) => number): T {
  let found: { readonly each: T; readonly amount: number } | undefined;
  for (const each of all) {
    const amount = amountOf(each);
    if (found === undefined || amount > found.amount) found = { each, amount };
  }
  if (found === undefined) throw new Error("nobody is there");
  return found.each;
}
