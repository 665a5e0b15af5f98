/** Waits and time limits that end when the caller aborts. */

/** Can be aborted. */
export interface Abortable {
  readonly signal?: AbortSignal | undefined;
}

/** A signal of our own that follows the caller's. `end` must be called, so that it follows no longer. */
export class Following {
  private readonly own = new AbortController();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly follow = (): void => this.own.abort(this.caller?.reason);

  constructor(private readonly caller: AbortSignal | undefined) {
    if (caller?.aborted) this.follow();
    else caller?.addEventListener("abort", this.follow, { once: true });
  }

  get signal(): AbortSignal {
    return this.own.signal;
  }

  /** Aborts after so many seconds from now, in place of an earlier limit. */
  limit(seconds: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.own.abort(new Error(`no answer within ${seconds} s`)), seconds * 1000);
  }

  abort(reason: unknown): void {
    this.own.abort(reason);
  }

  /** Ends the time limit. */
  unlimit(): void {
    clearTimeout(this.timer);
  }

  end(): void {
    this.unlimit();
    this.caller?.removeEventListener("abort", this.follow);
  }
}

/** Waits; throws the signal's reason when it is aborted. */
export function sleep(seconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const abort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, seconds * 1000);
    signal?.addEventListener("abort", abort, { once: true });
  });
}

/** Waits for a result that others wait for too; throws the signal's reason when it is aborted. */
export function unlessAborted<T>(result: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return result;
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    result.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
