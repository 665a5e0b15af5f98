/** Subjects, the people of a collection: find, change, merge, move, export and erase them. */

import { body, call, keyed, path } from "./calls.js";
import type {
  MergedOut,
  MovedOut,
  PersonOut,
  ReceiptOut,
  SearchOut,
  SightingOut,
  StoredFaceOut,
  SubjectDocument,
  SubjectOut,
} from "./models.js";
import type { Keyed, Metadata, Time } from "./recognition.js";
import type { Abortable } from "./signals.js";
import { Resource } from "./transport.js";

/** The collection of a subject; `default` unless given. */
export interface InCollection extends Abortable {
  readonly collection?: string;
}

export interface CreateSubjectOptions extends Keyed {
  readonly collection?: string;
  readonly name?: string;
  readonly metadata?: Metadata;
  readonly consent?: string;
  readonly expiresAt?: Time;
}

export interface ListSubjectsOptions extends InCollection {
  /** Words of the id or name, or their beginnings. */
  readonly q?: string;
  /** Values to equal. */
  readonly metadata?: Readonly<Record<string, string | number | boolean>>;
  readonly createdAfter?: Time;
  readonly createdBefore?: Time;
}

/** Null removes a value. */
export interface SubjectChanges {
  /** The new id. */
  readonly subject?: string;
  readonly name?: string | null;
  readonly metadata?: Metadata | null;
  readonly expiresAt?: Time | null;
}

export interface SimilarOptions extends InCollection {
  readonly limit?: number;
  readonly threshold?: number;
}

function at(collection = "default", ...parts: string[]): string {
  return path("collections", collection, "subjects", ...parts);
}

/** People under your own ids, each in one collection. */
export class Subjects extends Resource {
  /** Creates a subject without faces. Throws `problems.SubjectExists`. */
  async create(subject: string, options: CreateSubjectOptions = {}): Promise<SubjectOut> {
    const { collection, idempotencyKey, signal, expiresAt, ...fields } = options;
    const sent = body({ subject, ...fields, expires_at: expiresAt });
    return this.transport.send(await keyed(call("POST", at(collection), { body: sent }), idempotencyKey), { signal });
  }

  /** Yields subjects by id. */
  list(options: ListSubjectsOptions = {}): AsyncGenerator<SubjectOut, void, undefined> {
    const { collection, signal, q, metadata = {}, createdAfter, createdBefore } = options;
    const equal = Object.entries(metadata).map(([key, value]) => [`metadata.${key}`, value]);
    const query = { q, created_after: createdAfter, created_before: createdBefore, ...Object.fromEntries(equal) };
    return this.transport.pages(call("GET", at(collection), { query }), { signal });
  }

  /** Returns a subject. Throws `problems.SubjectNotFound`. */
  async get(subject: string, { collection, signal }: InCollection = {}): Promise<SubjectOut> {
    return this.transport.send(call("GET", at(collection, subject)), { signal });
  }

  /** Changes what is given. */
  async change(subject: string, changes: SubjectChanges, options: InCollection = {}): Promise<SubjectOut> {
    const { expiresAt, ...fields } = changes;
    const sent = body({ ...fields, expires_at: expiresAt });
    const where = at(options.collection, subject);
    return this.transport.send(await keyed(call("PATCH", where, { body: sent })), options);
  }

  /** Erases a subject with all faces; returns a signed receipt. */
  async delete(subject: string, options: InCollection = {}): Promise<ReceiptOut> {
    return this.transport.send(await keyed(call("DELETE", at(options.collection, subject))), options);
  }

  /** Records where the person's consent is kept. */
  async recordConsent(subject: string, reference: string, options: InCollection = {}): Promise<SubjectOut> {
    const where = at(options.collection, subject, "consent");
    return this.transport.send(await keyed(call("PUT", where, { body: { reference } })), options);
  }

  /** Withdraws the consent and erases the faces; the subject stays as a record. */
  async withdrawConsent(subject: string, options: InCollection = {}): Promise<SubjectOut> {
    return this.transport.send(await keyed(call("DELETE", at(options.collection, subject, "consent"))), options);
  }

  /** Yields the stored faces of a subject. */
  faces(subject: string, options: InCollection = {}): AsyncGenerator<StoredFaceOut, void, undefined> {
    return this.transport.pages(call("GET", at(options.collection, subject, "faces")), options);
  }

  /** Erases one face. */
  async deleteFace(subject: string, faceId: string, options: InCollection = {}): Promise<void> {
    await this.transport.send(await keyed(call("DELETE", at(options.collection, subject, "faces", faceId))), options);
  }

  /** Moves all faces of a subject to another, and deletes it. */
  async merge(subject: string, into: string, options: InCollection = {}): Promise<MergedOut> {
    const where = at(options.collection, subject, "merge");
    return this.transport.send(await keyed(call("POST", where, { body: { into } })), options);
  }

  /** Moves a subject with its faces to another collection. */
  async move(subject: string, to: string, options: InCollection & { newSubject?: string } = {}): Promise<MovedOut> {
    const sent = body({ collection: to, subject: options.newSubject });
    const where = at(options.collection, subject, "move");
    return this.transport.send(await keyed(call("POST", where, { body: sent })), options);
  }

  /** Searches the collection for others who look like this subject. */
  async similar(subject: string, options: SimilarOptions = {}): Promise<SearchOut> {
    const { collection, signal, ...query } = options;
    return this.transport.send(call("GET", at(collection, subject, "similar"), { query }), { signal });
  }

  /** Yields the faces in albums that show this subject. */
  sightings(
    subject: string,
    options: InCollection & { state?: SightingOut["state"] } = {},
  ): AsyncGenerator<SightingOut, void, undefined> {
    const query = { state: options.state };
    return this.transport.pages(call("GET", at(options.collection, subject, "sightings"), { query }), options);
  }

  /** Yields the videos in which this subject appears, with the times. */
  appearances(subject: string, options: InCollection = {}): AsyncGenerator<PersonOut, void, undefined> {
    return this.transport.pages(call("GET", at(options.collection, subject, "appearances")), options);
  }

  /** Returns everything that is stored about a subject, embeddings included. */
  async export(subject: string, options: InCollection = {}): Promise<SubjectDocument> {
    return this.transport.send(call("GET", at(options.collection, subject, "export")), options);
  }

  /** Imports an exported subject. */
  async restore(document: SubjectDocument, options: Abortable = {}): Promise<SubjectOut> {
    return this.transport.send(await keyed(call("POST", "/subjects/import", { body: document })), options);
  }
}
