/** Plans the upload of an album: which photos are missing, and what became of them. */

import { ApiError } from "./errors.js";
import type { Photo } from "./photos.js";
import { walk } from "./runtime.js";

/**
 * The photos of an upload: by your ids; files of a page, whose paths or names are their ids; or, in Node, the path of a
 * directory, whose photos get their paths below it as ids.
 */
export type Photos = Readonly<Record<string, Photo>> | ReadonlyMap<string, Photo> | Iterable<File> | string;

/** The ids of the photos that were sent, that the album had already, and that the server refused, with reasons. */
export interface Upload {
  readonly sent: string[];
  readonly skipped: string[];
  readonly refused: Map<string, ApiError>;
}

/** How far an upload is: `done` of `total` photos are sent, skipped or refused. */
export interface UploadProgress {
  readonly externalId: string;
  readonly done: number;
  readonly total: number;
  readonly upload: Upload;
}

const SUFFIX = /\.(jpg|jpeg|jpe|jfif|png|webp|avif|gif|bmp|tif|tiff|heic|heif)$/i;
const OF_THE_ALBUM = new Set(["album_closed", "album_not_found"]);

/** Returns photos by their ids. Throws `TypeError` where two have the same. */
export async function namePhotos(photos: Photos): Promise<Map<string, Photo>> {
  if (typeof photos === "string") return listDirectory(photos);
  if (photos instanceof Map) return new Map(photos as ReadonlyMap<string, Photo>);
  if (!(Symbol.iterator in photos)) return new Map(Object.entries(photos as Readonly<Record<string, Photo>>));
  const named = new Map<string, Photo>();
  for (const file of photos as Iterable<File>) {
    const name = file.webkitRelativePath || file.name;
    if (named.has(name)) throw new TypeError(`two photos are named ${name}: give an object of your ids and photos`);
    named.set(name, file);
  }
  return named;
}

async function listDirectory(directory: string): Promise<Map<string, Photo>> {
  const named = new Map<string, Photo>();
  for await (const name of walk(directory)) {
    if (SUFFIX.test(name)) named.set(name, `${directory}/${name}`);
  }
  return named;
}

/** Returns whether the refusal is about one photo, so that the others can still be sent. */
export function isOfPhoto(error: unknown): error is ApiError {
  return error instanceof ApiError && [409, 413, 422].includes(error.status) && !OF_THE_ALBUM.has(error.code);
}

/** Works on all items, `atOnce` at a time. The first error ends the rest, and is thrown when they have ended. */
export async function runAll<T>(
  work: (item: T, signal: AbortSignal) => Promise<void>,
  items: Iterable<T>,
  atOnce: number,
  following: { readonly signal: AbortSignal; abort(reason: unknown): void },
): Promise<void> {
  const waiting = items[Symbol.iterator]();
  const take = async (): Promise<void> => {
    for (let next = waiting.next(); next.done !== true; next = waiting.next()) {
      following.signal.throwIfAborted();
      await work(next.value, following.signal);
    }
  };
  const failures: unknown[] = [];
  const fail = (error: unknown): void => {
    failures.push(error);
    following.abort(error);
  };
  await Promise.all(Array.from({ length: Math.max(1, atOnce) }, () => take().catch(fail)));
  if (failures.length > 0) throw failures[0];
}
