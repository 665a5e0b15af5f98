// Does what a program with a generated TypeScript client does, and prints the answers as one JSON document.
//
//   node built/client.js PHOTOS      (a folder with known.jpg, again.jpg and empty.jpg)
//
// The server is in VULTUS_URL, the login in VULTUS_EMAIL and VULTUS_PASSWORD.

import { readFile } from "node:fs/promises";
import { join } from "node:path";

import createClient from "openapi-fetch";

import type { components, paths } from "./schema.js";

type Problem = components["schemas"]["Problem"];

const [photos = "."] = process.argv.slice(2);
const { VULTUS_URL = "", VULTUS_EMAIL = "", VULTUS_PASSWORD = "" } = process.env;

const client = createClient<paths>({ baseUrl: VULTUS_URL });

const photo = (name: string) => readFile(join(photos, `${name}.jpg`));
const base64 = async (name: string) => (await photo(name)).toString("base64");

function expect<T>({ data, error }: { data?: T; error?: Problem }): T {
  if (data === undefined) throw new Error(`${error?.code}: ${error?.detail}`);
  return data;
}

const signedIn = expect(
  await client.POST("/api/v1/auth/token", {
    headers: { "Content-Type": "application/x-www-form-urlencoded" },
    body: { username: VULTUS_EMAIL, password: VULTUS_PASSWORD },
  }),
);
client.use({
  onRequest: ({ request }) => request.headers.set("authorization", `Bearer ${signedIn.access_token}`),
});

// `images` as a file: a form is what the browser sends. The other photos are base64 in JSON.
const form = new FormData();
form.append("subject", "emp-1042");
form.append("name", "Ada Acker");
form.append("metadata", JSON.stringify({ team: 7 }));
form.append("images", new Blob([new Uint8Array(await photo("known"))], { type: "image/jpeg" }), "known.jpg");
const registered = expect(
  await client.POST("/api/v1/register", { body: { subject: "emp-1042" }, bodySerializer: () => form }),
);

const image = await base64("again");
const recognized = expect(await client.POST("/api/v1/recognize", { body: { image, limit: 1 } }));
const batch = expect(
  await client.POST("/api/v1/recognize/batch", { body: { images: [image, await base64("empty"), "AAAA"] } }),
);
const verified = expect(await client.POST("/api/v1/verify", { body: { image, subject: "emp-1042" } }));
const subjects = expect(
  await client.GET("/api/v1/collections/{collection}/subjects", {
    params: { path: { collection: "default" }, query: { q: "ada" } },
  }),
);
const { error: missing, response } = await client.POST("/api/v1/verify", { body: { image, subject: "nobody" } });

// Typed all the way: these are fields of the document.
const [first] = batch.items;
const best: string | undefined = first?.answer?.faces[0]?.candidates[0]?.subject;
const left: readonly number[] | undefined = recognized.faces[0]?.landmarks.left_eye;
if (best !== "emp-1042" || left === undefined) throw new Error("The batch does not know Ada.");

const contentType = response.headers.get("content-type");
console.log(JSON.stringify({ registered, recognized, batch, verified, subjects, missing, contentType }));
