/** Videos: send them, and learn who appears when. */

import type { WaitOptions } from "./albums.js";
import { body, call, formOf, path, reading } from "./calls.js";
import type {
  AnnouncedVideoOut,
  FoundAppearancesOut,
  Keep,
  ReceivedVideoOut,
  VideoOut,
  VideoPeopleOut,
  VideoState,
} from "./models.js";
import { readPhoto, type Photo } from "./photos.js";
import { watch, type Watched } from "./progress.js";
import { openFile } from "./runtime.js";
import { sleep, type Abortable } from "./signals.js";
import { Resource } from "./transport.js";

const POLL_S = 1;

/** A video: a `File` or `Blob`, its bytes, or in Node the path of a file, which is read while it is sent. */
export type Video = Blob | ArrayBuffer | Uint8Array | URL | string;

export interface VideoOptions extends Abortable {
  /** How many frames of each second are looked at. */
  readonly samplesPerSecond?: number;
  /** Look only at frames that are stored whole: many times faster. */
  readonly keyframesOnly?: boolean;
  readonly maxMinutes?: number;
  readonly keep?: Keep;
}

export interface ListVideosOptions extends Abortable {
  readonly album?: string;
  readonly state?: VideoState;
}

/** What `watch` yields about a video. */
export interface VideoProgress {
  readonly state: VideoState;
  readonly position_ms: number;
  readonly duration_ms: number | null;
  readonly people: number | null;
  /** Why the video failed: an error code. */
  readonly code: string | null;
  readonly remaining_s: number | null;
  readonly at: string;
}

/** Videos of albums, which workers look at. */
export class Videos extends Resource {
  /**
   * Sends a video under your id. The same video again does nothing, so that a lost answer is asked for again.
   *
   * The answer may take as long as the upload: abort it by the signal.
   */
  async add(album: string, externalId: string, video: Video, options: VideoOptions = {}): Promise<ReceivedVideoOut> {
    const { signal } = options;
    const isPath = typeof video === "string" || video instanceof URL;
    const file = isPath ? await openFile(video) : await readPhoto(video);
    const form = formOf("video", file, fieldsOf(album, externalId, options));
    const sent = { form, canRepeat: true, timeoutS: Infinity };
    return this.transport.send(call("POST", "/videos", sent), { signal });
  }

  /**
   * Returns a form by which a page without credentials uploads the video to the server's bucket: POST `upload.fields`
   * and, last, the field `file` to `upload.url`, then call `uploaded`. Needs a bucket.
   */
  async announce(album: string, externalId: string, options: VideoOptions = {}): Promise<AnnouncedVideoOut> {
    const sent = { body: body(fieldsOf(album, externalId, options)), canRepeat: true };
    return this.transport.send(call("POST", "/videos/uploads", sent), { signal: options.signal });
  }

  /** Says that a video was uploaded to the bucket. */
  async uploaded(videoId: string, options: Abortable = {}): Promise<VideoOut> {
    return this.transport.send(call("POST", path("videos", videoId, "uploaded"), { canRepeat: true }), options);
  }

  /** Yields videos in the order of arrival. */
  list({ signal, ...query }: ListVideosOptions = {}): AsyncGenerator<VideoOut, void, undefined> {
    return this.transport.pages(call("GET", "/videos", { query }), { signal });
  }

  /** Returns how far a video is, and why it failed. */
  async get(videoId: string, options: Abortable = {}): Promise<VideoOut> {
    return this.transport.send(call("GET", path("videos", videoId)), options);
  }

  /** Waits until a video is done or has failed. Throws an `Error` after `timeoutS`. */
  async wait(videoId: string, { signal, timeoutS = Infinity }: WaitOptions = {}): Promise<VideoOut> {
    const endsAt = Date.now() + timeoutS * 1000;
    while (true) {
      const found = await this.get(videoId, { signal });
      if (found.state === "done" || found.state === "failed") return found;
      if (Date.now() > endsAt) throw new Error(`the video still waits after ${timeoutS} s: is a worker running?`);
      await sleep(POLL_S, signal);
    }
  }

  /** Yields the progress whenever it changes, until the video is done or failed (`done`), or `erased`. */
  watch(videoId: string, options: Abortable = {}): AsyncGenerator<Watched<VideoProgress>, void, undefined> {
    return watch(this.transport, path("videos", videoId, "events"), options);
  }

  /** Returns everybody with the times, those seen most often first. Empty until the video is done. */
  async people(videoId: string, options: Abortable = {}): Promise<VideoPeopleOut> {
    return this.transport.send(call("GET", path("videos", videoId, "people")), options);
  }

  /** Returns who appears when as WebVTT, so that a player shows names. */
  async subtitles(videoId: string, options: Abortable = {}): Promise<string> {
    return this.transport.send(call("GET", path("videos", videoId, "people.vtt")), options);
  }

  /** Returns every appearance in the videos of an album that resembles a photo; nothing is stored. */
  async search(album: string, photo: Photo, options: Abortable = {}): Promise<FoundAppearancesOut> {
    return this.transport.send(await reading("/videos/search", { image: photo }, { album }), options);
  }

  /** Erases a video with its faces, also while it is processed. */
  async delete(videoId: string, options: Abortable = {}): Promise<void> {
    await this.transport.send(call("DELETE", path("videos", videoId)), options);
  }
}

/** Returns the text fields of a video, which the API takes before the file. */
function fieldsOf(album: string, externalId: string, options: VideoOptions): Record<string, unknown> {
  return {
    album,
    external_id: externalId,
    samples_per_second: options.samplesPerSecond,
    keyframes_only: options.keyframesOnly,
    max_minutes: options.maxMinutes,
    keep: options.keep,
  };
}
