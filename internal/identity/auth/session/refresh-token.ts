import { createHash, hkdfSync, timingSafeEqual } from "node:crypto";
import type { Random } from "../../../platform/clock/random.ts";
import { decrypt, encrypt, type Vault } from "../secret/vault.ts";

const sessionIdBytes = 16;
const secretBytes = 32;
const macBytes = 16;
const nonceBytes = 12;

/** How long an exchanged token still gives its successor to the same client. */
export const refreshGraceMs = 10_000;

/**
 * A refresh token is opaque to its holder: base64url of session id, 256 random bits and a MAC over both. The MAC tells a token
 * that was once good from one that never was, however long ago, with nothing kept of it: so reuse is found for the whole
 * life of a session, and nobody ends a session by inventing tokens for it.
 */
export interface RefreshToken {
  readonly text: string;
  readonly sessionId: string;
  /** SHA-256 of the text: all that the database keeps of a token that is good. */
  readonly hash: Uint8Array<ArrayBuffer>;
  /** True when auth made it. */
  readonly genuine: boolean;
}

/** Makes a token for a session. */
export function mintRefreshToken(vault: Vault, random: Random, sessionId: string): RefreshToken {
  const body = Buffer.concat([Buffer.from(sessionId.replaceAll("-", ""), "hex"), random.bytes(secretBytes)]);
  const text = Buffer.concat([body, macOf(vault, body)]).toString("base64url");
  return { text, sessionId, hash: sha256(text), genuine: true };
}

/** Reads a presented token; `undefined` when it has not the shape of one. */
export function parseRefreshToken(vault: Vault, text: string): RefreshToken | undefined {
  const bytes = Buffer.from(text, "base64url");
  // Comparing with the one canonical spelling: else other spellings of a token would have other hashes.
  if (bytes.length !== sessionIdBytes + secretBytes + macBytes || bytes.toString("base64url") !== text)
    return undefined;
  const body = bytes.subarray(0, sessionIdBytes + secretBytes);
  const hex = body.toString("hex", 0, sessionIdBytes);
  return {
    text,
    sessionId: hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5"),
    hash: sha256(text),
    genuine: timingSafeEqual(macOf(vault, body), bytes.subarray(sessionIdBytes + secretBytes)),
  };
}

/** Encrypts a token's successor so that only who presents the token can learn it. */
export function sealSuccessor(token: RefreshToken, successor: RefreshToken, random: Random): Uint8Array<ArrayBuffer> {
  return encrypt(successorKey(token), random.bytes(nonceBytes), token.sessionId, Buffer.from(successor.text));
}

/** The successor's text. */
export function openSuccessor(token: RefreshToken, sealed: Uint8Array): string {
  return Buffer.from(decrypt(successorKey(token), token.sessionId, sealed)).toString();
}

/**
 * The client of a refresh: the same User-Agent on the same network (an IPv4 address, the first 64 bits of IPv6). A client that
 * changes its network within the grace must sign in again; a thief elsewhere gets nothing.
 */
export function clientHash(userAgent: string, network: string): Uint8Array<ArrayBuffer> {
  return sha256(`${network}\n${userAgent}`);
}

/** What the database knows of a presented token's session; compared under the lock of the session's row. */
export interface RefreshFacts {
  readonly nowMs: number;
  readonly ended: boolean;
  readonly expireTimeMs: number;
  /** Hash of the one token that is good. */
  readonly currentHash: Uint8Array;
  /** Set when the presented token was exchanged a moment ago. */
  readonly grace: { readonly rotateTimeMs: number; readonly clientHash: Uint8Array } | undefined;
  readonly clientHash: Uint8Array;
}

/**
 * What a presented token brings: "rotate" it, "repeat" its successor, end the family for its "reuse", or "refuse" without
 * effect, which is for what was never a token of a live session.
 */
export function judgeRefresh(token: RefreshToken, facts: RefreshFacts): "rotate" | "repeat" | "reuse" | "refuse" {
  if (facts.ended || facts.nowMs >= facts.expireTimeMs) return "refuse";
  if (equal(token.hash, facts.currentHash)) return "rotate";
  const { grace } = facts;
  if (
    grace !== undefined &&
    Math.abs(facts.nowMs - grace.rotateTimeMs) <= refreshGraceMs && // Later, where the clock was put back since, is over too.
    equal(grace.clientHash, facts.clientHash)
  ) {
    return "repeat";
  }
  return token.genuine ? "reuse" : "refuse";
}

function macOf(vault: Vault, body: Uint8Array): Uint8Array {
  return vault.mac("refresh-token", body).subarray(0, macBytes);
}

function successorKey(token: RefreshToken): Uint8Array {
  return new Uint8Array(hkdfSync("sha256", token.text, "", "muin auth refresh successor", 32));
}

function sha256(text: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(createHash("sha256").update(text).digest());
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
