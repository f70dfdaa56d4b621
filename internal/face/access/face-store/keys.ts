/**
 * What access keeps in the face Redis. All keys have the hash tag `{face}`, as those of mlops do; each part that comes from outside is
 * percent-encoded.
 *
 * | key | type | holds |
 * | --- | --- | --- |
 * | `{face}:d:member:<member>` | string | a person as the door needs them (`copies/store-redis.ts`) |
 * | `{face}:d:branch:<branch>` | hash | a branch and its staff (`copies/store-redis.ts`) |
 * | `{face}:d:changes` | stream | which of the two changed |
 * | `{face}:d:doubt` | hash | says that copies are doubted: for which process of the face Redis, and when they are asked for again (`doubt/store.ts`) |
 * | `{face}:d:told` | set | people and branches that were told again since |
 * | `{face}:d:attempt:<device>:nonces` | hash | nonces of the last 90 s: what was asked, and the entry once it is decided |
 * | `{face}:d:attempt:<device>:embeddings` | hash | hashes of the embeddings of the last 24 h: the nonce that each came with |
 * | `{face}:d:lock:<device>` | hash | until when the device is locked out; its attempts in the present minute |
 * | `{face}:d:lock:<device>:denials` | sorted set | its denials in the window, by time |
 * | `{face}:d:lock:<device>:pending` | sorted set | its attempts that are not decided yet, by time |
 * | `{face}:d:inside:<branch>` | sorted set | who is inside, by when they were let in |
 * | `{face}:d:pass:<pass>` | string | says that an entry pass was used, until it has ended |
 * | `{face}:d:trace:<member>` | set | which keys of the last two kinds above hold the person, so that they are found when they are erased |
 */
const prefix = "{face}:d:";

/** What access may touch. */
export const keyPattern = `${prefix}*`;
/** Which copies changed. */
export const copyChangesKey = `${prefix}changes`;
/** Whether copies are doubted. */
export const doubtKey = `${prefix}doubt`;
/** Who was told again since. */
export const toldKey = `${prefix}told`;

export function memberKey(memberId: string): string {
  return `${prefix}member:${encodeURIComponent(memberId)}`;
}

export function branchKey(branchId: string): string {
  return `${prefix}branch:${encodeURIComponent(branchId)}`;
}

/** A person among those who were told. */
export function toldMember(memberId: string): string {
  return `m${memberId}`;
}

/** A branch among them. */
export function toldBranch(branchId: string): string {
  return `b${branchId}`;
}

export function insideKey(branchId: string): string {
  return `${prefix}inside:${encodeURIComponent(branchId)}`;
}

export function passKey(passId: string): string {
  return `${prefix}pass:${encodeURIComponent(passId)}`;
}

export function traceKey(memberId: string): string {
  return `${prefix}trace:${encodeURIComponent(memberId)}`;
}

/** The keys of a device. */
export interface DeviceKeys {
  readonly nonces: string;
  readonly embeddings: string;
  readonly lock: string;
  readonly denials: string;
  readonly pending: string;
}

export function deviceKeys(deviceId: string): DeviceKeys {
  const device = encodeURIComponent(deviceId);
  const lock = `${prefix}lock:${device}`;
  return {
    nonces: `${prefix}attempt:${device}:nonces`,
    embeddings: `${prefix}attempt:${device}:embeddings`,
    lock,
    denials: `${lock}:denials`,
    pending: `${lock}:pending`,
  };
}
