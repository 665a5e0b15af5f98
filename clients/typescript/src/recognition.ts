/** Registers, recognizes, verifies, compares, detects, extracts and searches. */

import { body, call, keyed, path, reading, withPhotos } from "./calls.js";
import type {
  CompareBatchOut,
  CompareOut,
  DetectOut,
  ExtractBatchOut,
  ExtractOut,
  RecognizeBatchOut,
  RecognizeOut,
  RegisterAllOut,
  RegisterOut,
  SearchOut,
  VerifyOut,
} from "./models.js";
import type { Photo } from "./photos.js";
import type { Abortable } from "./signals.js";
import { Resource } from "./transport.js";

/** A time, as a `Date` or as ISO 8601. */
export type Time = Date | string;
export type Metadata = Readonly<Record<string, unknown>>;
export type Detail = "fast" | "standard" | "thorough";
/** `only`: a photo with several faces is refused. */
export type Face = "only" | "largest";

export interface Keyed extends Abortable {
  /** Names this change, so that sending it again changes nothing; made by the client unless given. */
  readonly idempotencyKey?: string;
}

export interface RegisterOptions extends Keyed {
  readonly name?: string;
  readonly metadata?: Metadata;
  readonly collection?: string;
  readonly face?: Face;
  readonly consent?: string;
  readonly expiresAt?: Time;
  readonly externalImageId?: string;
}

export interface RegisterAllOptions extends Keyed {
  readonly collection?: string;
  readonly externalImageId?: string;
  readonly limit?: number;
  readonly quality?: "none" | "low" | "auto" | "medium" | "high";
}

export interface RecognizeOptions extends Abortable {
  readonly collection?: string;
  readonly limit?: number;
  readonly threshold?: number;
  readonly detail?: Detail;
}

export interface VerifyOptions extends Abortable {
  readonly collection?: string;
  readonly threshold?: number;
  readonly face?: Face;
}

export interface CompareOptions extends Abortable {
  readonly threshold?: number;
}

export interface DetectOptions extends Abortable {
  readonly detail?: Detail;
}

export interface ExtractOptions extends DetectOptions {
  readonly recognizer?: string;
}

export interface SearchOptions extends Abortable {
  readonly recognizer: string;
  readonly collection?: string;
  readonly limit?: number;
  readonly threshold?: number;
}

/** What takes photos. Without a collection, the server uses `default`. */
export class Recognition extends Resource {
  /** Stores the face of each photo for a subject, under your id. A lost answer is asked for again safely. */
  async register(
    subject: string,
    photos: Photo | readonly Photo[],
    { idempotencyKey, signal, expiresAt, externalImageId, ...fields }: RegisterOptions = {},
  ): Promise<RegisterOut> {
    const dated = { subject, ...fields, expires_at: expiresAt, external_image_id: externalImageId };
    const images = Array.isArray(photos) ? photos : [photos as Photo];
    const sent = await withPhotos("/register", { images }, dated);
    return this.transport.send(await keyed(sent, idempotencyKey), { signal });
  }

  /** Stores every face of a photo as an anonymous subject. */
  async registerAll(photo: Photo, options: RegisterAllOptions = {}): Promise<RegisterAllOut> {
    const { idempotencyKey, signal, externalImageId, ...fields } = options;
    const sent = await withPhotos("/register/all", { image: photo }, { ...fields, external_image_id: externalImageId });
    return this.transport.send(await keyed(sent, idempotencyKey), { signal });
  }

  /** Returns the faces of a photo, each with the subjects who resemble it most and a decision. */
  async recognize(photo: Photo, { signal, ...fields }: RecognizeOptions = {}): Promise<RecognizeOut> {
    return this.transport.send(await reading("/recognize", { image: photo }, fields), { signal });
  }

  /** Recognizes the faces of up to 20 photos; each has an answer or a problem. */
  async recognizeBatch(photos: readonly Photo[], options: RecognizeOptions = {}): Promise<RecognizeBatchOut> {
    const { signal, ...fields } = options;
    return this.transport.send(await reading("/recognize/batch", { images: photos }, fields), { signal });
  }

  /** Returns whether a photo shows this subject. */
  async verify(subject: string, photo: Photo, { signal, ...fields }: VerifyOptions = {}): Promise<VerifyOut> {
    return this.transport.send(await reading("/verify", { image: photo }, { subject, ...fields }), { signal });
  }

  /** Compares the face of one photo with those of another; nothing is stored. */
  async compare(source: Photo, target: Photo, { signal, ...fields }: CompareOptions = {}): Promise<CompareOut> {
    return this.transport.send(await reading("/compare", { source, target }, fields), { signal });
  }

  /** Compares the face of one photo with those of up to 20 others. */
  async compareBatch(
    source: Photo,
    targets: readonly Photo[],
    { signal, ...fields }: CompareOptions = {},
  ): Promise<CompareBatchOut> {
    return this.transport.send(await reading("/compare/batch", { source, targets }, fields), { signal });
  }

  /** Returns the faces of a photo with boxes, landmarks and quality; nothing is stored. */
  async detect(photo: Photo, { signal, ...fields }: DetectOptions = {}): Promise<DetectOut> {
    return this.transport.send(await reading("/detect", { image: photo }, fields), { signal });
  }

  /** Returns the faces of a photo with their embeddings; nothing is stored. */
  async extract(photo: Photo, { signal, ...fields }: ExtractOptions = {}): Promise<ExtractOut> {
    return this.transport.send(await reading("/extract", { image: photo }, fields), { signal });
  }

  /** Returns the faces of up to 20 photos with their embeddings. */
  async extractBatch(photos: readonly Photo[], { signal, ...fields }: ExtractOptions = {}): Promise<ExtractBatchOut> {
    return this.transport.send(await reading("/extract/batch", { images: photos }, fields), { signal });
  }

  /** Searches a collection by an embedding, which `extract` returns with the name of its recognizer. */
  async search(embedding: readonly number[], options: SearchOptions): Promise<SearchOut> {
    const { signal, collection = "default", ...fields } = options;
    const sent = body({ embedding, ...fields });
    const where = path("collections", collection, "search");
    return this.transport.send(call("POST", where, { body: sent, canRepeat: true }), { signal });
  }
}
