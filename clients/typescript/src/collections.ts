/** Collections: create, list, tune and erase them, and their stored faces. */

import { body, call, keyed, path } from "./calls.js";
import type { CollectionFaceOut, CollectionOut, PoolOut, ReceiptOut, RecognizersOut } from "./models.js";
import type { Keyed } from "./recognition.js";
import type { Abortable } from "./signals.js";
import { Resource } from "./transport.js";

export interface DecisionPolicy extends Abortable {
  /** From this false-match rate on, a decision is `match`. */
  readonly maxFalseMatchRate: number;
  /** From this false-match rate on, a decision is `review`. */
  readonly reviewFalseMatchRate?: number;
}

/** Names one photo. */
export interface OfPhoto extends Abortable {
  readonly externalImageId?: string;
  readonly imageId?: string;
}

export interface PoolOptions extends Abortable {
  readonly people?: readonly string[];
  readonly retainDays?: number;
}

function photoQuery({ externalImageId, imageId }: OfPhoto): Record<string, unknown> {
  return { external_image_id: externalImageId, image_id: imageId };
}

/** Named sets of subjects; what a search covers. */
export class Collections extends Resource {
  /** Creates a collection. Throws `problems.CollectionExists`. */
  async create(name: string, options: Keyed = {}): Promise<CollectionOut> {
    const sent = await keyed(call("POST", "/collections", { body: { name } }), options.idempotencyKey);
    return this.transport.send(sent, options);
  }

  /** Yields all collections that the caller can reach. */
  list(options: Abortable = {}): AsyncGenerator<CollectionOut, void, undefined> {
    return this.transport.pages(call("GET", "/collections"), options);
  }

  /** Returns a collection with its counts and thresholds. */
  async get(name: string, options: Abortable = {}): Promise<CollectionOut> {
    return this.transport.send(call("GET", path("collections", name)), options);
  }

  /** Erases a collection with everybody in it. */
  async delete(name: string, options: Abortable = {}): Promise<void> {
    await this.transport.send(await keyed(call("DELETE", path("collections", name))), options);
  }

  /** Sets the false-match rates of decisions. */
  async setPolicy(name: string, policy: DecisionPolicy): Promise<CollectionOut> {
    const { signal, maxFalseMatchRate, reviewFalseMatchRate } = policy;
    const rates = { max_false_match_rate: maxFalseMatchRate, review_false_match_rate: reviewFalseMatchRate };
    return this.transport.send(call("PUT", path("collections", name, "policy"), { body: body(rates) }), { signal });
  }

  /** Derives the rates of decisions from the people in the collection. */
  async calibrate(name: string, options: Abortable = {}): Promise<CollectionOut> {
    return this.transport.send(call("POST", path("collections", name, "calibration"), { canRepeat: true }), options);
  }

  /** Returns the recognizers of a collection and how many subjects each covers. */
  async recognizers(name: string, options: Abortable = {}): Promise<RecognizersOut> {
    return this.transport.send(call("GET", path("collections", name, "recognizers")), options);
  }

  /** Yields the stored faces, oldest first, or only those of a photo. */
  faces(name: string, options: OfPhoto = {}): AsyncGenerator<CollectionFaceOut, void, undefined> {
    const where = path("collections", name, "faces");
    return this.transport.pages(call("GET", where, { query: photoQuery(options) }), options);
  }

  /** Erases the faces of a photo, whoever they belong to; returns a signed receipt. */
  async deleteFaces(name: string, options: OfPhoto): Promise<ReceiptOut> {
    const where = path("collections", name, "faces");
    return this.transport.send(await keyed(call("DELETE", where, { query: photoQuery(options) })), options);
  }

  /** Matches and groups the collection's own anonymous faces. */
  async setPool(name: string, { signal, people, retainDays }: PoolOptions = {}): Promise<PoolOut> {
    const sent = body({ people, retain_days: retainDays });
    return this.transport.send(call("PUT", path("collections", name, "pool"), { body: sent }), { signal });
  }

  /** Stops matching and grouping anonymous faces. */
  async deletePool(name: string, options: Abortable = {}): Promise<void> {
    await this.transport.send(call("DELETE", path("collections", name, "pool")), options);
  }
}
