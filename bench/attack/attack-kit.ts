import { type Peer, type PeerOptions, openPeer } from "./peer.ts";

/** Frames or requests that are written at once; between two bursts the machine gets its turn. */
const burst = 100;

/** Where the attacked Muin listens, and which address or addresses an attack comes from. */
export interface Target {
  readonly httpPort: number;
  readonly grpcPort: number;
  /** Address of the loopback for the `place`-th connection. */
  readonly from: (place: number) => string;
}

/** How much an attack does: its whole size, or a small part of it, enough to show in seconds whether it is held off. */
export interface Size {
  readonly whole: boolean;
  /** When an attack that would go on ends, on the scale of performance.now(). */
  readonly untilMs: number;
}

/** What an attack came to, as the attacker saw it. */
export interface Outcome {
  readonly connections: number;
  /** Requests, streams or frames, whatever the attack is made of. */
  readonly sent: number;
  readonly answers: number;
  /** Streams that were reset, requests that were refused by status, and connections that were not let in. */
  readonly refused: number;
  /** Connections that the server closed. */
  readonly closed: number;
  /** The longest that a connection lived which the server closed, in milliseconds. */
  readonly closedMsMax: number | undefined;
  /** Codes of GOAWAY, the first of each connection, and how many got it. */
  readonly goaways: Readonly<Record<string, number>>;
  /** What the attack was to meet and did not. */
  readonly faults: readonly string[];
}

/** Opens `count` connections, one after the other. */
export async function openPeers(
  { from }: Target,
  count: number,
  options: Pick<PeerOptions, "port" | "speaks">,
): Promise<readonly Peer[]> {
  const peers: Peer[] = [];
  for (let place = 0; place < count; place += 1) peers.push(await openPeer({ ...options, from: from(place) }));
  return peers;
}

/** Writes `count` parts over all connections in turns, until all are closed or time is up. Returns how many were written. */
export async function flood(
  peers: readonly Peer[],
  count: number,
  { untilMs }: Size,
  part: (place: number) => Uint8Array | string,
): Promise<number> {
  let sent = 0;
  for (let place = 0; place < count && performance.now() < untilMs; place += burst) {
    const open = peers.filter(({ closedMs }) => closedMs === undefined);
    if (open.length === 0) break;
    const parts = Array.from({ length: Math.min(burst, count - place) }, (_, at) => part(place + at));
    await Promise.all(open.map((peer) => peer.write(...parts)));
    sent += parts.length * open.length;
    await Bun.sleep(0);
  }
  return sent;
}

/** Waits until all are closed by the server, or time is up. */
export async function untilClosed(peers: readonly Peer[], untilMs: number): Promise<void> {
  const late = Promise.withResolvers<void>();
  const timer = setTimeout(late.resolve, Math.max(0, untilMs - performance.now()));
  await Promise.race([Promise.all(peers.map(({ closed }) => closed)), late.promise]);
  clearTimeout(timer);
}

/** Does `step` again and again, with a pause in between, until it says that it is over or time is up. */
export async function again(
  untilMs: number,
  pauseMs: number,
  step: (turn: number) => Promise<boolean | void>,
): Promise<void> {
  for (let turn = 0; performance.now() < untilMs; turn += 1) {
    if ((await step(turn)) === true) return;
    await Bun.sleep(Math.min(pauseMs, Math.max(0, untilMs - performance.now())));
  }
}

/** Sums up what connections saw, and closes them. */
export function summarize(peers: readonly Peer[], sent: number, faults: readonly string[] = []): Outcome {
  const closed = peers.filter(({ closedMs }) => closedMs !== undefined);
  const goaways: Record<string, number> = {};
  for (const [code] of peers.map((peer) => peer.goaways)) {
    if (code !== undefined) goaways[code] = (goaways[code] ?? 0) + 1;
  }
  const sum = (count: (peer: Peer) => number): number => peers.reduce((total, peer) => total + count(peer), 0);
  for (const peer of peers) peer.close();
  return {
    connections: peers.length,
    sent,
    answers: sum(({ answers }) => answers),
    refused: sum(({ resets, statuses }) => resets + statuses.filter((status) => status > "399").length),
    closed: closed.length,
    closedMsMax:
      closed.length === 0 ? undefined : Math.max(...closed.map(({ openedMs, closedMs = 0 }) => closedMs - openedMs)),
    goaways,
    faults,
  };
}

/** Faults of connections that a server must close: those that are still open. */
export function stillOpen(peers: readonly Peer[], what: string): readonly string[] {
  const open = peers.filter(({ closedMs }) => closedMs === undefined).length;
  return open === 0 ? [] : [`${open} of ${peers.length} connections are open after ${what}`];
}
