/** Defines what the client throws; `problems` has one class for each error code. */

/** Anything that this package throws about a server or its messages. */
export class VultusError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** The server did not answer. A change may have been made, unless it is one that the client repeats. */
export class ConnectionLost extends VultusError {}

/** A message was not signed with this secret, or is too old. */
export class WebhookRefused extends VultusError {}

/** An invalid field or image, counted from 0. */
export interface InvalidField {
  readonly field?: string;
  readonly index?: number;
  readonly code?: string;
  readonly detail?: string;
  readonly [other: string]: unknown;
}

/** What a refusal says. */
export interface Refusal {
  readonly code: string;
  readonly status: number;
  readonly detail: string;
  readonly fields: readonly InvalidField[];
  readonly requestId: string | null;
  readonly retryAfterS: number | null;
  readonly remedyUrl: string | null;
}

/** The server refused a request. `code` is stable; `detail` is for people. */
export class ApiError extends VultusError implements Refusal {
  readonly code: string;
  readonly status: number;
  readonly detail: string;
  /** Each invalid field or image. */
  readonly fields: readonly InvalidField[];
  /** Identifies the request in the server's log. */
  readonly requestId: string | null;
  readonly retryAfterS: number | null;
  /** The page of the server that says what to do about this code. */
  readonly remedyUrl: string | null;

  constructor(refusal: Refusal) {
    super(`${refusal.code}: ${refusal.detail}`);
    this.code = refusal.code;
    this.status = refusal.status;
    this.detail = refusal.detail;
    this.fields = refusal.fields;
    this.requestId = refusal.requestId;
    this.retryAfterS = refusal.retryAfterS;
    this.remedyUrl = refusal.remedyUrl;
  }
}
