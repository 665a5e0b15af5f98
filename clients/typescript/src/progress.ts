/** Follows the progress of an album or a video. */

import { call } from "./calls.js";
import { sleep, type Abortable } from "./signals.js";
import type { Transport } from "./transport.js";

/** A message about progress: `progress`, then `done` or `erased`. */
export type Watched<T> =
  | { readonly name: "progress" | "done"; readonly progress: T }
  | { readonly name: "erased"; readonly progress: null };

const PAUSE_S = 1;

/** Yields each message until the work has ended. It connects again when the stream is cut off. */
export async function* watch<T>(
  transport: Transport,
  path: string,
  { signal }: Abortable,
): AsyncGenerator<Watched<T>, void, undefined> {
  let lastId: string | null = null;
  while (true) {
    const headers: Record<string, string> = lastId === null ? {} : { "last-event-id": lastId };
    for await (const sent of transport.stream(call("GET", path, { headers }), { signal })) {
      lastId = sent.id ?? lastId;
      if (sent.name === "erased") return yield { name: "erased", progress: null };
      const name = sent.name === "done" ? "done" : "progress";
      yield { name, progress: JSON.parse(sent.data) as T };
      if (name === "done") return;
    }
    await sleep(PAUSE_S, signal);
  }
}
