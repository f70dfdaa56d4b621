/** An attempt at a door. */
export interface Attempt {
  readonly deviceId: string;
  readonly nonce: string;
  /** SHA-256 of what was asked. */
  readonly fingerprint: Buffer;
  /** Hash of the embedding; `undefined` where none was sent. */
  readonly embedding: Buffer | undefined;
  /** Whether it may be a stranger's try: then it needs room among the denials that lock the device out. */
  readonly isGuess: boolean;
  /** The entry's id, unless the attempt was begun before. */
  readonly entryId: string;
}

/** What an attempt may do. */
export type Begun =
  /** It is to be decided, under this id. Whoever began it before has died. */
  | { readonly kind: "first"; readonly entryId: string }
  /** It was decided: the entry. */
  | { readonly kind: "repeated"; readonly entry: Buffer }
  /** Somebody else decides it. */
  | { readonly kind: "under_way" }
  | { readonly kind: "nonce_reused" }
  | { readonly kind: "embedding_replayed" }
  | { readonly kind: "locked_out"; readonly forMs: number }
  /** As many attempts are under way as could be denied before the device is locked out. */
  | { readonly kind: "busy" }
  | { readonly kind: "too_many" }
  | { readonly kind: "embeddings_full" };

/** What was decided. */
export interface Settlement {
  /** The entry, in protobuf binary. */
  readonly entry: Buffer;
  /** It counts towards a lock-out. */
  readonly isDenial: boolean;
  readonly branchId: string;
  /** Who was recognised; empty for nobody. */
  readonly memberId: string;
  /** Whether the person goes into the branch, or out of it. */
  readonly moves: "in" | "out" | undefined;
  /** Holds instead when so many others are inside already: nobody goes in then, and it counts towards no lock-out. */
  readonly unlessFull: { readonly capacityMax: number; readonly entry: Buffer } | undefined;
  /**
   * A pass, which opens once: it is used up when the person goes in. Its entry holds instead when it was used before: nobody goes in then, and it counts
   * towards a lock-out.
   */
  readonly pass: { readonly passId: string; readonly keptMs: number; readonly entryIfUsed: Buffer } | undefined;
}

/**
 * Remembers attempts, so that each is decided once: those of a device as `Attempt` says, who is inside a branch, and which device is locked out. Each
 * method takes effect as a whole: of many at once, each finds what those before it did.
 */
export interface AttemptStore {
  /** Takes an attempt in, unless it is refused or known. Repeats are answered for 90 s, embeddings remembered for 24 h. */
  begin(attempt: Attempt): Promise<Begun>;
  /** Notes what came of it. Returns the entry that holds: another one where it had been decided meanwhile. */
  settle(attempt: Attempt, settlement: Settlement): Promise<Buffer>;
  /** Forgets an attempt that came to no decision, so that it may come again. It still counts as one of the minute. */
  abandon(attempt: Attempt): Promise<void>;
  /** Forgets where a person is, and what was answered about them. */
  forget(memberId: string): Promise<void>;
}

/** What a device was answered without the shared store. */
export interface Answered {
  readonly attempt: Pick<Attempt, "deviceId" | "nonce" | "fingerprint" | "embedding" | "entryId">;
  /** The entry that the device was told of, in protobuf binary. */
  readonly entry: Buffer;
  readonly isDenial: boolean;
  readonly branchId: string;
  readonly memberId: string;
  readonly moves: "in" | "out" | undefined;
  /** The pass that was used up, and for how long from then on that is kept; `undefined`: none was. */
  readonly usedPass: { readonly passId: string; readonly keptMs: number } | undefined;
}

/** Takes in what was answered without the shared store. */
export interface AnsweredStore {
  /**
   * Notes what was answered `agoMs` ago as if it had been settled then: the reply that was given to the nonce, unless another one was before, the embedding, the
   * denial, the move, and above all that the pass was used. Telling it again changes nothing. Of who was erased meanwhile only the pass is noted.
   */
  tell(answered: Answered, agoMs: number): Promise<void>;
}

/** Which passes a process knows to be used. */
export interface PassMemory {
  isUsed(passId: string): boolean;
  /** Notes that a pass was used, and for how long from now on that is kept. */
  recall(passId: string, keptMs: number): void;
}

/** The bounds that hold for attempts. */
export interface AttemptLimits {
  readonly attemptsPerMinuteMax: number;
  readonly embeddingsPerDeviceMax: number;
  readonly denialsMax: number;
  readonly denialsWindowMs: number;
  readonly lockoutMs: number;
  readonly stayMs: number;
}

export const minuteMs = 60_000;
/** A capture is taken for 60 s, from 30 s before its time to 30 s after, by the clocks of processes that may be 30 s apart. */
export const nonceKeptMs = 90_000;
export const embeddingKeptMs = 24 * 3_600_000;
/** Whoever has not decided by then has died, and another goes on. */
export const pendingMsMax = 5000;
