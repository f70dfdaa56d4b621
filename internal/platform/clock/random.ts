/** Randomness, handed in so that a seed replays a failure. */
export interface Random {
  /** `length` unpredictable bytes. */
  bytes(length: number): Uint8Array<ArrayBuffer>;
  /** A UUIDv7 (RFC 9562): grows with time. */
  uuid(): string;
  /** Uniform in [0, 1): for jitter, never for secrets. */
  fraction(): number;
}

/** The system's cryptographic randomness. */
export const systemRandom: Random = {
  bytes: (length) => crypto.getRandomValues(new Uint8Array(length)),
  uuid: () => Bun.randomUUIDv7(),
  fraction: () => Math.random(),
};

const uuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Whether a text is a UUID as `Random.uuid` writes it, in lower case: any other text is nobody's id. */
export function isUuid(text: string): boolean {
  return uuid.test(text);
}
