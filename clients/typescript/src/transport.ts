/** Sends calls: sign in, retry, decode, follow pages. It knows no routes. */

import { append, PAGE, PREFIX, type Call } from "./calls.js";
import { Session, type Credentials } from "./credentials.js";
import { ApiError, ConnectionLost } from "./errors.js";
import { readRefusal } from "./refusals.js";
import { Tries, type Retries } from "./retries.js";
import { Following, sleep, unlessAborted, type Abortable } from "./signals.js";
import { EventParser, type SentEvent } from "./streams.js";

/** A stream that sends nothing for so long, not even a comment, is lost. */
const SILENCE_S = 90;

/** Where the server is, and how it is asked. */
export interface Connection extends Credentials {
  /** How long one try may take until its answer is complete; 60 unless given. */
  readonly timeoutS?: number;
  readonly retries?: Retries;
  /** Used in place of the global `fetch`, such as one with a proxy. */
  readonly fetch?: typeof fetch;
}

interface Page {
  readonly items: readonly unknown[];
  readonly next_cursor: string | null;
}

type Reading = (response: Response) => Promise<unknown>;
type Reader = ReadableStreamDefaultReader<Uint8Array>;

export class Transport {
  readonly session: Session;
  private readonly base: string;

  constructor(
    url: string | URL,
    private readonly connection: Connection,
  ) {
    this.base = String(url).replace(/\/+$/, "");
    this.session = new Session(connection, (call) => this.send(call));
  }

  /** Returns the decoded answer. Throws an error of `problems`, `ConnectionLost`, or the reason of an abort. */
  async send<T>(call: Call, { signal }: Abortable = {}): Promise<T> {
    return (await this.perform(call, signal, decode)) as T;
  }

  /** Yields the items of every page. */
  async *pages<T>(call: Call, options: Abortable = {}): AsyncGenerator<T, void, undefined> {
    let cursor: string | null = null;
    do {
      const query: Record<string, unknown> = { limit: PAGE, ...call.query, cursor };
      const page: Page = await this.send<Page>({ ...call, query }, options);
      yield* page.items as readonly T[];
      cursor = page.next_cursor;
    } while (cursor !== null);
  }

  /** Yields server-sent events until the stream ends or is cut off. Throws as `send` does if it cannot begin. */
  async *stream(call: Call, { signal }: Abortable = {}): AsyncGenerator<SentEvent, void, undefined> {
    const following = new Following(signal);
    const parser = new EventParser();
    const decoder = new TextDecoder();
    try {
      const streamed = { ...call, timeoutS: SILENCE_S };
      const reader = (await this.perform(streamed, following.signal, openReader)) as Reader | undefined;
      if (reader === undefined) return;
      while (true) {
        following.limit(SILENCE_S);
        const { done, value } = await reader.read().catch(() => {
          if (signal?.aborted) throw signal.reason;
          return { done: true, value: undefined };
        });
        following.unlimit();
        if (done || value === undefined) return;
        yield* parser.feed(decoder.decode(value, { stream: true }));
      }
    } finally {
      following.abort(new Error("the stream has ended"));
      following.end();
    }
  }

  private async perform(call: Call, signal: AbortSignal | undefined, read: Reading = decode): Promise<unknown> {
    const tries = new Tries(this.connection.retries ?? {});
    let isLost = false;
    let hasRenewed = false;
    while (true) {
      tries.begin();
      signal?.throwIfAborted();
      const token = call.isPublic ? undefined : await unlessAborted(this.session.authorize(), signal);
      const following = new Following(signal);
      let pauseS: number | null;
      try {
        const response = await this.fetch(call, token, following);
        if (response.ok) return await read(response);
        if (isLost && call.method === "DELETE" && response.status === 404) return undefined; // the lost try deleted it
        if (response.status === 401 && token !== undefined && !hasRenewed && this.session.forget(token)) {
          hasRenewed = true;
          pauseS = 0;
        } else pauseS = tries.afterResponse(call, response);
        if (pauseS === null) throw await readRefusal(response, this.base);
        await response.body?.cancel();
      } catch (error) {
        if (error instanceof ApiError) throw error;
        if (signal?.aborted) throw signal.reason;
        pauseS = tries.afterError(call, error);
        if (pauseS === null) throw lost(call, error);
        isLost = true;
      } finally {
        if (read === decode) following.end(); // a stream is read on, and ends with its caller's signal
        else following.unlimit();
      }
      await sleep(pauseS, signal);
    }
  }

  private fetch(call: Call, token: string | undefined, following: Following): Promise<Response> {
    const limitS = call.timeoutS ?? this.connection.timeoutS ?? 60;
    if (limitS !== Infinity) following.limit(limitS);
    const query = new URLSearchParams();
    append(query, call.query);
    const asked = String(query) === "" ? "" : `?${query}`;
    const headers: Record<string, string> = { ...call.headers };
    if (token !== undefined) headers["authorization"] = `Bearer ${token}`;
    if (call.body !== undefined) headers["content-type"] = "application/json";
    const send = this.connection.fetch ?? fetch;
    return send(`${this.base}${PREFIX}${call.path}${asked}`, {
      method: call.method,
      headers,
      body: call.body === undefined ? (call.form ?? null) : JSON.stringify(call.body),
      signal: following.signal,
      credentials: "omit",
      redirect: "error",
    });
  }
}

/** Returns the answer: a JSON document, text, a Blob, or undefined if there is none. */
async function decode(response: Response): Promise<unknown> {
  const kind = response.headers.get("content-type") ?? "";
  if (kind.startsWith("application/json")) return response.json();
  if (kind.startsWith("text/")) return response.text();
  const content = await response.blob();
  return content.size === 0 ? undefined : content;
}

async function openReader(response: Response): Promise<Reader | undefined> {
  return response.body?.getReader();
}

function lost(call: Call, error: unknown): ConnectionLost {
  const reason = error instanceof Error ? error.message : String(error);
  return new ConnectionLost(`${call.method} ${call.path}: ${reason}`, { cause: error });
}

/** The routes about one kind of thing. */
export class Resource {
  /** @internal */
  constructor(protected readonly transport: Transport) {}
}
