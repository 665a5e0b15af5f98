/** Albums: upload thousands of photos, watch them, and find somebody's photos by a selfie. */

import { body, call, formOf, keyed, path, reading, type Call } from "./calls.js";
import type {
  AlbumLinkOut,
  AlbumOut,
  AlbumPhotoOut,
  AlbumSearchOut,
  ClusterOut,
  IssuedAlbumLinkOut,
  Keep,
  PhotoCountsOut,
  PhotoState,
  ReceivedPhotoOut,
  RetriedOut,
  SightingOut,
} from "./models.js";
import { listPhotos, readPhoto, urlOf, type Photo } from "./photos.js";
import { watch, type Watched } from "./progress.js";
import type { Keyed, Time } from "./recognition.js";
import { Following, sleep, type Abortable } from "./signals.js";
import { Resource } from "./transport.js";
import { isOfPhoto, namePhotos, runAll, type Photos, type Upload, type UploadProgress } from "./uploads.js";

const POLL_S = 1;

export interface CreateAlbumOptions extends Keyed {
  readonly title?: string;
  /** `crops` keeps a picture of each face. */
  readonly keep?: Keep;
  readonly expected?: number;
  readonly expiresAt?: Time;
  /** Collections whose people are looked for in its photos. */
  readonly people?: readonly string[];
}

export interface AlbumChanges {
  readonly title?: string | null;
  readonly expected?: number | null;
  readonly expiresAt?: Time | null;
  readonly closed?: boolean;
  readonly people?: readonly string[];
}

export interface UploadOptions extends Abortable {
  /** How many photos are sent at a time; 4 unless given. */
  readonly atOnce?: number;
  /** Called when a photo was sent or refused. */
  readonly onProgress?: (progress: UploadProgress) => void;
}

export interface WaitOptions extends Abortable {
  readonly timeoutS?: number;
}

export interface AlbumSearchOptions extends Abortable {
  /** Whether any of the people must be in a photo, or all. */
  readonly match?: "any" | "all";
  readonly decision?: "match" | "review";
}

export interface SelfieSearchOptions extends AlbumSearchOptions {
  readonly threshold?: number;
}

export interface IssueLinkOptions extends Abortable {
  readonly label?: string;
  readonly consentText?: string;
  readonly rate?: string;
  readonly expiresAt?: Time;
}

/** What `watch` yields about an album. */
export interface AlbumProgress {
  readonly photos: PhotoCountsOut;
  readonly photos_per_second: number;
  readonly remaining_s: number | null;
  readonly at: string;
}

/** Collections whose faces come from photos that workers process. */
export class Albums extends Resource {
  /** Creates an album. */
  async create(album: string, options: CreateAlbumOptions = {}): Promise<AlbumOut> {
    const { signal, idempotencyKey, expiresAt, ...fields } = options;
    const sent = body({ id: album, ...fields, expires_at: expiresAt });
    return this.transport.send(await keyed(call("POST", "/albums", { body: sent }), idempotencyKey), { signal });
  }

  /** Yields all albums. */
  list(options: Abortable = {}): AsyncGenerator<AlbumOut, void, undefined> {
    return this.transport.pages(call("GET", "/albums"), options);
  }

  /** Returns an album with the counts of its photos. */
  async get(album: string, options: Abortable = {}): Promise<AlbumOut> {
    return this.transport.send(call("GET", path("albums", album)), options);
  }

  /** Changes what is given; setting the same twice does no harm. */
  async change(album: string, changes: AlbumChanges, options: Abortable = {}): Promise<AlbumOut> {
    const { expiresAt, ...fields } = changes;
    const sent = { body: body({ ...fields, expires_at: expiresAt }), canRepeat: true };
    return this.transport.send(call("PATCH", path("albums", album), sent), options);
  }

  /** Erases an album with all its faces. */
  async delete(album: string, options: Abortable = {}): Promise<void> {
    await this.transport.send(await keyed(call("DELETE", path("albums", album))), options);
  }

  /** Adds a photo under your id. The same photo again does nothing. */
  async put(album: string, externalId: string, photo: Photo, options: Abortable = {}): Promise<ReceivedPhotoOut> {
    const where = path("albums", album, "photos", externalId);
    const url = urlOf(photo);
    const sent = url === null ? { form: formOf("image", await readPhoto(photo)) } : { body: { image_url: url } };
    return this.transport.send(call("PUT", where, sent), options);
  }

  /**
   * Sends the photos that the album lacks, and those that failed there, `atOnce` at a time.
   *
   * Repeat the call after an interruption: it continues. Photos that the server refuses are in `refused`; anything else
   * that goes wrong is thrown, and ends the photos that are on their way.
   */
  async upload(album: string, photos: Photos, options: UploadOptions = {}): Promise<Upload> {
    const { signal, atOnce = 4, onProgress } = options;
    const named = await namePhotos(photos);
    const known = new Set<string>();
    for await (const one of this.photos(album, { signal })) if (one.state !== "failed") known.add(one.external_id);
    const upload: Upload = { sent: [], skipped: [...named.keys()].filter((one) => known.has(one)), refused: new Map() };
    const following = new Following(signal);
    const send = async ([externalId, photo]: [string, Photo], whole: AbortSignal): Promise<void> => {
      try {
        await this.put(album, externalId, photo, { signal: whole });
        upload.sent.push(externalId);
      } catch (error) {
        if (!isOfPhoto(error)) throw error;
        upload.refused.set(externalId, error);
      }
      const done = upload.sent.length + upload.skipped.length + upload.refused.size;
      onProgress?.({ externalId, done, total: named.size, upload });
    };
    try {
      await runAll(send, [...named].filter(([one]) => !known.has(one)), atOnce, following);
    } finally {
      following.end();
    }
    return upload;
  }

  /** Waits until no photo of the album waits. Throws an `Error` after `timeoutS`. */
  async wait(album: string, { signal, timeoutS = Infinity }: WaitOptions = {}): Promise<AlbumOut> {
    const endsAt = Date.now() + timeoutS * 1000;
    while (true) {
      const found = await this.get(album, { signal });
      if (found.photos.received + found.photos.working === 0) return found;
      if (Date.now() > endsAt) throw new Error(`photos still wait after ${timeoutS} s: is a worker running?`);
      await sleep(POLL_S, signal);
    }
  }

  /** Yields the progress whenever it changes, until no photo waits: `name` is then `done`. */
  watch(album: string, options: Abortable = {}): AsyncGenerator<Watched<AlbumProgress>, void, undefined> {
    return watch(this.transport, path("albums", album, "events"), options);
  }

  /** Yields the photos of an album, or those in one state, in the order of arrival. */
  photos(
    album: string,
    { signal, state }: Abortable & { state?: PhotoState } = {},
  ): AsyncGenerator<AlbumPhotoOut, void, undefined> {
    return this.transport.pages(call("GET", path("albums", album, "photos"), { query: { state } }), { signal });
  }

  /** Returns the state of one photo. */
  async photo(album: string, externalId: string, options: Abortable = {}): Promise<AlbumPhotoOut> {
    return this.transport.send(call("GET", path("albums", album, "photos", externalId)), options);
  }

  /** Erases one photo with its faces. */
  async deletePhoto(album: string, externalId: string, options: Abortable = {}): Promise<void> {
    await this.transport.send(call("DELETE", path("albums", album, "photos", externalId)), options);
  }

  /** Processes again what failed for a reason that may pass. */
  async retry(album: string, options: Abortable = {}): Promise<RetriedOut> {
    return this.transport.send(call("POST", path("albums", album, "retry"), { canRepeat: true }), options);
  }

  /** Finds every photo that shows somebody, by up to five selfies; the answer has the items of all pages. */
  async search(
    album: string,
    selfies: Photo | readonly Photo[],
    { signal, ...fields }: SelfieSearchOptions = {},
  ): Promise<AlbumSearchOut> {
    const images: readonly Photo[] = await Promise.all(
      listPhotos(selfies).map(async (one) => urlOf(one) ?? (await readPhoto(one))),
    );
    const where = path("albums", album, "search");
    return this.searchAll((cursor) => reading(where, { images }, { limit: 1000, ...fields, cursor }), { signal });
  }

  /** Finds every photo that shows registered people, each a collection and a subject. */
  async searchPeople(
    album: string,
    people: readonly { readonly collection: string; readonly subject: string }[],
    { signal, ...fields }: AlbumSearchOptions = {},
  ): Promise<AlbumSearchOut> {
    const where = path("albums", album, "search", "people");
    const ask = async (cursor?: string): Promise<Call> =>
      call("POST", where, { body: body({ limit: 1000, ...fields, people, cursor }), canRepeat: true });
    return this.searchAll(ask, { signal });
  }

  private async searchAll(ask: (cursor?: string) => Promise<Call>, options: Abortable): Promise<AlbumSearchOut> {
    let found = await this.transport.send<AlbumSearchOut>(await ask(), options);
    while (found.next_cursor !== null) {
      const page = await this.transport.send<AlbumSearchOut>(await ask(found.next_cursor), options);
      found = { ...page, items: [...found.items, ...page.items] };
    }
    return found;
  }

  /** Yields who was seen in the album's photos. */
  sightings(
    album: string,
    { signal, state }: Abortable & { state?: SightingOut["state"] } = {},
  ): AsyncGenerator<SightingOut, void, undefined> {
    return this.transport.pages(call("GET", path("albums", album, "sightings"), { query: { state } }), { signal });
  }

  /** Yields groups of unknown faces that probably show one person, the largest first. */
  clusters(album: string, options: Abortable = {}): AsyncGenerator<ClusterOut, void, undefined> {
    return this.transport.pages(call("GET", path("albums", album, "clusters")), options);
  }

  /** Returns the picture of a face as JPEG, in an album with `keep: "crops"`. */
  async picture(album: string, faceId: string, options: Abortable = {}): Promise<Blob> {
    return this.transport.send(call("GET", path("albums", album, "faces", faceId, "picture")), options);
  }

  /** Creates a link by which guests search an album with their own selfie. */
  async issueLink(album: string, options: IssueLinkOptions = {}): Promise<IssuedAlbumLinkOut> {
    const { signal, consentText, expiresAt, ...fields } = options;
    const sent = body({ ...fields, consent_text: consentText, expires_at: expiresAt });
    return this.transport.send(call("POST", path("albums", album, "links"), { body: sent }), { signal });
  }

  /** Yields the links of an album. */
  links(album: string, options: Abortable = {}): AsyncGenerator<AlbumLinkOut, void, undefined> {
    return this.transport.pages(call("GET", path("albums", album, "links")), options);
  }

  /** Ends a link. */
  async revokeLink(album: string, linkId: string, options: Abortable = {}): Promise<void> {
    await this.transport.send(call("DELETE", path("albums", album, "links", linkId)), options);
  }
}
