// Send a video to an album, and print who appears in it, and when.
//
//   node examples/video_platform.mjs ALBUM VIDEO COLLECTION
//
// docs/how-to/use-it-from-javascript.md says how to install the client. The server is in VULTUS_URL, a key with the
// scopes `register` and `recognize` in VULTUS_API_KEY. People of the collection are named; the others are numbered. Run
// it again after an interruption: a video that was received is not added twice.

import { basename } from "node:path";

import { problems, Vultus } from "vultus-client";

/** @param {number} ms */
function clock(ms) {
  const seconds = Math.floor(ms / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

const [album = "", path = "", collection = ""] = process.argv.slice(2);
const vultus = new Vultus(process.env["VULTUS_URL"] ?? "", { apiKey: process.env["VULTUS_API_KEY"] ?? "" });

try {
  await vultus.albums.create(album, { people: [collection] });
} catch (error) {
  if (!(error instanceof problems.CollectionExists)) throw error;
}
const received = await vultus.videos.add(album, basename(path), path);
for await (const { name, progress } of vultus.videos.watch(received.video_id)) {
  if (name === "progress") console.error(`${clock(progress.position_ms)} looked at`);
}
const done = await vultus.videos.get(received.video_id);
if (done.state === "failed") {
  console.error(`${done.code}: ${done.detail}`);
  process.exitCode = 1;
}
const { people } = await vultus.videos.people(received.video_id);
for (const [index, person] of people.entries()) {
  const name = person.subject?.name ?? person.subject?.subject ?? `unknown ${index + 1}`;
  const times = person.intervals.map(({ begin_ms, end_ms }) => `${clock(begin_ms)}-${clock(end_ms)}`);
  console.log(`${name}: ${times.join(", ")}`);
}
