/** Events: list and follow what changed; webhooks: have it sent. */

import { body, call, path } from "./calls.js";
import type {
  DeliveryOut,
  EventList,
  EventOut,
  EventType,
  IssuedWebhookOut,
  ReplayOut,
  TestOut,
  WebhookOut,
} from "./models.js";
import type { Time } from "./recognition.js";
import { sleep, type Abortable } from "./signals.js";
import { Resource } from "./transport.js";

const PAUSE_S = 1;

export interface ListEventsOptions extends Abortable {
  /** The number of the last event that you know; 0 unless given. */
  readonly after?: number;
  readonly limit?: number;
  readonly types?: readonly EventType[];
}

export interface FollowOptions extends Abortable {
  /** The number of the last event that you know; 0 unless given. Null begins with the next event. */
  readonly after?: number | null;
  readonly types?: readonly EventType[];
}

export interface WebhookOptions extends Abortable {
  readonly description?: string;
  readonly types?: readonly EventType[];
  readonly collections?: readonly string[];
}

export interface WebhookChanges {
  readonly url?: string;
  readonly description?: string | null;
  readonly types?: readonly EventType[] | null;
  readonly collections?: readonly string[] | null;
  readonly is_enabled?: boolean;
}

/** What changed, in order, each with a number (`seq`). */
export class Events extends Resource {
  /** Returns the events after a number, oldest first. */
  async list({ signal, ...query }: ListEventsOptions = {}): Promise<EventList> {
    return this.transport.send(call("GET", "/events", { query }), { signal });
  }

  /**
   * Yields every event after a number, and then each new one as it comes, until the signal is aborted.
   *
   * It connects again when the stream ends or is cut off, and misses nothing. Store `seq` to continue later. Throws
   * `ConnectionLost` if the server stays away for all attempts of `Retries`. An event that comes while the first
   * connection of `after: null` is lost is missed.
   */
  async *follow({ signal, after = 0, types }: FollowOptions = {}): AsyncGenerator<EventOut, void, undefined> {
    while (true) {
      for await (const sent of this.transport.stream(call("GET", "/events/stream", { query: { after, types } }), {
        signal,
      })) {
        const event = JSON.parse(sent.data) as EventOut;
        after = event.seq;
        yield event;
      }
      await sleep(PAUSE_S, signal);
    }
  }
}

/** Your servers that events are sent to; `verifyWebhook` checks the messages there. */
export class Webhooks extends Resource {
  /** Has events sent to a URL. The answer has the secret, once. */
  async create(url: string, { signal, ...fields }: WebhookOptions = {}): Promise<IssuedWebhookOut> {
    return this.transport.send(call("POST", "/webhooks", { body: body({ url, ...fields }) }), { signal });
  }

  /** Yields all webhooks. */
  list(options: Abortable = {}): AsyncGenerator<WebhookOut, void, undefined> {
    return this.transport.pages(call("GET", "/webhooks"), options);
  }

  /** Returns a webhook and how it does. */
  async get(webhookId: string, options: Abortable = {}): Promise<WebhookOut> {
    return this.transport.send(call("GET", path("webhooks", webhookId)), options);
  }

  /** Changes what is given; setting the same twice does no harm. */
  async change(webhookId: string, changes: WebhookChanges, options: Abortable = {}): Promise<WebhookOut> {
    const sent = { body: body({ ...changes }), canRepeat: true };
    return this.transport.send(call("PATCH", path("webhooks", webhookId), sent), options);
  }

  /** Ends a webhook. */
  async delete(webhookId: string, options: Abortable = {}): Promise<void> {
    await this.transport.send(call("DELETE", path("webhooks", webhookId)), options);
  }

  /** Replaces the secret; messages are signed with both for a while. */
  async rotateSecret(webhookId: string, options: Abortable = {}): Promise<IssuedWebhookOut> {
    return this.transport.send(call("POST", path("webhooks", webhookId, "rotate-secret")), options);
  }

  /** Sends a message now and returns what the receiver answered. */
  async test(webhookId: string, options: Abortable = {}): Promise<TestOut> {
    return this.transport.send(call("POST", path("webhooks", webhookId, "test"), { canRepeat: true }), options);
  }

  /** Yields the messages of a webhook and what became of them. */
  deliveries(
    webhookId: string,
    options: Abortable & { state?: DeliveryOut["state"] } = {},
  ): AsyncGenerator<DeliveryOut, void, undefined> {
    const query = { state: options.state };
    return this.transport.pages(call("GET", path("webhooks", webhookId, "deliveries"), { query }), options);
  }

  /** Sends the events since a time again. */
  async replay(webhookId: string, since: Time, options: Abortable = {}): Promise<ReplayOut> {
    return this.transport.send(call("POST", path("webhooks", webhookId, "replay"), { body: body({ since }) }), options);
  }
}
