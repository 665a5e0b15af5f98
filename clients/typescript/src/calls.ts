/** Describes requests without sending them. */

import { listPhotos, readPhoto, urlOf, type Photo } from "./photos.js";
import { randomId } from "./runtime.js";

export const PREFIX = "/api/v1";
export const PAGE = 200;
/** The name of every uploaded file: the true one may say who is in it. */
const FILE_NAME = "photo";
const REPEATABLE = new Set(["GET", "PUT", "DELETE"]);

/** The fields of a query, a form or a body; those that are undefined are not sent. */
export type Fields = Readonly<Record<string, unknown>>;

/** One request. */
export interface Call {
  readonly method: string;
  readonly path: string;
  readonly query: Fields;
  /** A JSON body. */
  readonly body: unknown;
  /** A form, or an urlencoded one. */
  readonly form: FormData | URLSearchParams | undefined;
  readonly headers: Readonly<Record<string, string>>;
  /** Sending it twice does no harm. */
  readonly canRepeat: boolean;
  readonly isPublic: boolean;
  /** Replaces the client's limit for an answer; `Infinity`: none. */
  readonly timeoutS: number | undefined;
}

/** Returns a call; what is not given has its usual value. */
export function call(method: string, path: string, more: Partial<Omit<Call, "method" | "path">> = {}): Call {
  return {
    method,
    path,
    query: {},
    body: undefined,
    form: undefined,
    headers: {},
    isPublic: false,
    timeoutS: undefined,
    ...more,
    canRepeat: more.canRepeat ?? REPEATABLE.has(method),
  };
}

/** Returns the call with an Idempotency-Key, which the client makes unless the caller gives one. */
export async function keyed(one: Call, key?: string): Promise<Call> {
  return { ...one, headers: { ...one.headers, "idempotency-key": key ?? (await randomId()) }, canRepeat: true };
}

/** Returns a path with each part encoded. */
export function path(...parts: string[]): string {
  return parts.map((part) => `/${encodeURIComponent(part)}`).join("");
}

/** Returns the fields as a JSON body has them: without those that are undefined. Times become text. */
export function body(fields: Fields): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [name, value instanceof Date ? value.toISOString() : value]),
  );
}

/** Adds the fields to a query or a form: lists one by one, times as ISO 8601, the rest that is no text as JSON. */
export function append(target: FormData | URLSearchParams, fields: Fields): void {
  for (const [name, value] of Object.entries(fields)) {
    for (const one of Array.isArray(value) ? (value as unknown[]) : [value]) {
      if (one !== undefined && one !== null) target.append(name, encode(one));
    }
  }
}

function encode(value: unknown): string {
  if (value instanceof Date) return value.toISOString();
  return typeof value === "string" ? value : JSON.stringify(value);
}

/**
 * Returns a POST of photos by their fields: files as a form; URLs, which the server fetches, as text.
 *
 * A list is sent as several photos of a field. Throws `TypeError` where a field mixes URLs and files.
 */
export async function withPhotos(
  callPath: string,
  photos: Readonly<Record<string, Photo | readonly Photo[]>>,
  fields: Fields,
): Promise<Call> {
  const sent: Record<string, unknown> = { ...fields };
  const form = new FormData();
  const files: [string, Blob][] = [];
  for (const [name, given] of Object.entries(photos)) {
    const all = listPhotos(given);
    const urls = all.map(urlOf).filter((url) => url !== null);
    if (urls.length > 0 && urls.length < all.length) {
      throw new TypeError(`${name}: give either URLs or files in one call`);
    }
    if (urls.length > 0) {
      if (name.endsWith("s")) sent[`${name.slice(0, -1)}_urls`] = urls;
      else sent[`${name}_url`] = urls[0];
    } else for (const one of all) files.push([name, await readPhoto(one)]);
  }
  if (files.length === 0) return call("POST", callPath, { body: body(sent) });
  append(form, sent);
  for (const [name, file] of files) form.append(name, file, FILE_NAME);
  return call("POST", callPath, { form });
}

/** Returns a call with photos to a route that stores nothing, so that it may be sent again. */
export async function reading(...given: Parameters<typeof withPhotos>): Promise<Call> {
  return { ...(await withPhotos(...given)), canRepeat: true };
}

/** Returns a form with one file. */
export function formOf(name: string, file: Blob, fields: Fields = {}): FormData {
  const form = new FormData();
  append(form, fields);
  form.append(name, file, FILE_NAME);
  return form;
}
