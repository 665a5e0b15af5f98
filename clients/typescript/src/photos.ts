/** Reads photos from wherever they are; URLs are fetched by the server. */

import { readFile } from "./runtime.js";

/**
 * A photo: a `File` or `Blob`, its bytes, or its address.
 *
 * A string or `URL` that begins with http is fetched by the server, where the operator has allowed its host. Another
 * string, or a `file:` URL, is the path of a file, in Node only.
 */
export type Photo = Blob | ArrayBuffer | Uint8Array | URL | string;

/** Returns the address of a photo that the server fetches, or null. */
export function urlOf(photo: Photo): string | null {
  const address = photo instanceof URL ? photo.href : photo;
  return typeof address === "string" && /^https?:\/\//i.test(address) ? address : null;
}

/** Returns the content of a photo. Throws `TypeError`, or what Node throws about a file. */
export async function readPhoto(photo: Photo): Promise<Blob> {
  if (photo instanceof Blob) return photo;
  if (photo instanceof ArrayBuffer) return new Blob([photo]);
  if (photo instanceof Uint8Array) return new Blob([new Uint8Array(photo)]);
  if (typeof photo === "string" || photo instanceof URL) return readFile(photo);
  throw new TypeError(`a photo is a File, a Blob, bytes, a path or a URL, not ${typeof photo}`);
}

/** Returns one photo, or several, as a list. */
export function listPhotos(photos: Photo | readonly Photo[]): readonly Photo[] {
  return Array.isArray(photos) ? (photos as readonly Photo[]) : [photos as Photo];
}
