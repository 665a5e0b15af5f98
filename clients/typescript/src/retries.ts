/** Decides whether and when a request is sent again. */

import type { Call } from "./calls.js";
import { readRetryAfter } from "./refusals.js";

/**
 * Up to `count` further tries of a request, each after the server's `Retry-After` or a growing pause.
 *
 * Only what does no harm twice is sent again: reads, searches, `PUT`, `DELETE`, and changes with an Idempotency-Key,
 * which the client makes. Any request is sent again if it never left, or if it was refused by a rate (429).
 */
export interface Retries {
  /** Further tries after the first; 5 unless given. */
  readonly count?: number;
  /** A server that asks for a longer wait is not asked again; 60 unless given. */
  readonly maxWaitS?: number;
  /** No try begins later than this after the first; 300 unless given. */
  readonly deadlineS?: number;
}

const BUSY = new Set([502, 503, 504]);
const NEVER_SENT = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "UND_ERR_CONNECT_TIMEOUT",
]);
const FIRST_PAUSE_S = 0.5;
const LONGEST_PAUSE_S = 8;

/** The tries of one call. */
export class Tries {
  private count = 0;
  private readonly endsAt: number;

  constructor(private readonly retries: Retries) {
    this.endsAt = Date.now() + (retries.deadlineS ?? 300) * 1000;
  }

  /** Counts a try. */
  begin(): void {
    this.count += 1;
  }

  /** Returns the seconds to wait after a lost request, or null to give up. */
  afterError(call: Call, error: unknown): number | null {
    return call.canRepeat || wasNeverSent(error) ? this.allow(this.pauseS()) : null;
  }

  /** Returns the seconds to wait after a refusal, or null to give up. */
  afterResponse(call: Call, response: Response): number | null {
    if (response.status !== 429 && !(call.canRepeat && BUSY.has(response.status))) return null;
    const askedS = readRetryAfter(response);
    if (askedS === null) return this.allow(this.pauseS());
    return askedS <= (this.retries.maxWaitS ?? 60) ? this.allow(askedS + Math.random() * 0.1) : null;
  }

  private allow(pauseS: number): number | null {
    if (this.count > (this.retries.count ?? 5)) return null;
    return Date.now() + pauseS * 1000 > this.endsAt ? null : pauseS;
  }

  private pauseS(): number {
    const longest = Math.min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (this.count - 1));
    return longest * (0.5 + Math.random() / 2);
  }
}

/** Node names the cause; a browser does not, so that a request may have left there. */
function wasNeverSent(error: unknown): boolean {
  const cause = error instanceof Error ? (error.cause as { code?: unknown } | undefined) : undefined;
  return typeof cause?.code === "string" && NEVER_SENT.has(cause.code);
}
