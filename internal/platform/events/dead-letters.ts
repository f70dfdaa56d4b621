import type { EventRecord } from "../service/event-record.ts";

/** An event that a consumer gave up on, or that waits behind one of its key. */
export interface DeadLetter {
  /** Its place in the order of all dead letters. Opaque; grows with the time of parking. */
  readonly deadLetterId: string;
  readonly service: string;
  readonly record: EventRecord;
  readonly reason: string;
  /** 0 for an event that waits behind an earlier one. */
  readonly attempts: number;
  readonly parkTimeMs: number;
}

/** A page of dead letters. */
export interface DeadLetterPage {
  readonly deadLetters: readonly DeadLetter[];
  /** Empty on the last page. */
  readonly nextPageToken: string;
}

/**
 * The events that consumers parked. Consumers alone add them, and remove them when a redrive handled them: order per key holds
 * through parking and redrive.
 */
export interface DeadLetters {
  /**
   * Dead letters, oldest first: those of one service, or of all of the broker's when `service` is undefined. `pageToken` is empty for the first page.
   * Rejects with INVALID_ARGUMENT, reason PAGE_TOKEN_INVALID, for a token of another query.
   */
  list(options: {
    readonly service: string | undefined;
    readonly pageSize: number;
    readonly pageToken: string;
  }): Promise<DeadLetterPage>;
  /**
   * Hands the dead letters of a service, of one subject or of all when it is undefined, back to their consumer in order, before newer
   * events of their key. Returns how many. What fails again stays, and its key goes on waiting.
   */
  redrive(service: string, subject: string | undefined): Promise<number>;
}
