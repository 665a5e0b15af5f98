/** Checks the signature of messages from Vultus (Standard Webhooks). */

import { WebhookRefused } from "./errors.js";
import type { EventOut } from "./models.js";
import { webCrypto } from "./runtime.js";

/** The headers of a message: those of `fetch`, or an object as Node has it. */
export type MessageHeaders = Headers | Readonly<Record<string, string | readonly string[] | undefined>>;

const TOLERANCE_S = 300;

/**
 * Returns the event of a message that was signed with this secret within the last `toleranceS` seconds.
 *
 * `body` is what arrived, unchanged. Throws `WebhookRefused`. Messages may arrive twice: `webhook-id` tells.
 */
export async function verifyWebhook(
  secret: string,
  headers: MessageHeaders,
  body: string | Uint8Array | ArrayBuffer,
  { toleranceS = TOLERANCE_S }: { readonly toleranceS?: number } = {},
): Promise<EventOut> {
  const id = header(headers, "webhook-id");
  const timestamp = header(headers, "webhook-timestamp");
  const signatures = header(headers, "webhook-signature");
  if (!/^\d{1,15}$/.test(timestamp)) throw new WebhookRefused("webhook-timestamp is no number");
  const ageS = Date.now() / 1000 - Number(timestamp);
  if (Math.abs(ageS) > toleranceS) {
    throw new WebhookRefused(`webhook-timestamp is ${Math.round(ageS)} s old; at most ${toleranceS} s are allowed`);
  }
  const content = typeof body === "string" ? new TextEncoder().encode(body) : new Uint8Array(body);
  const signed = join(new TextEncoder().encode(`${id}.${timestamp}.`), content);
  const { subtle } = await webCrypto();
  const raw = decodeBase64(secret.replace(/^whsec_/, ""));
  if (raw === null || raw.length === 0) throw new WebhookRefused("the secret is not base64");
  const key = await subtle.importKey("raw", raw, { name: "HMAC", hash: "SHA-256" }, false, ["verify"]);
  for (const sent of signatures.split(" ").filter((one) => one.startsWith("v1,"))) {
    const signature = decodeBase64(sent.slice("v1,".length));
    // `verify` compares in constant time.
    if (signature !== null && (await subtle.verify("HMAC", key, signature, signed))) {
      return JSON.parse(new TextDecoder().decode(content)) as EventOut;
    }
  }
  throw new WebhookRefused("no signature was made with this secret");
}

function header(headers: MessageHeaders, name: string): string {
  const found =
    headers instanceof Headers
      ? headers.get(name)
      : Object.entries(headers).find(([one]) => one.toLowerCase() === name)?.[1];
  if (typeof found !== "string") throw new WebhookRefused(`the header ${name} is missing`);
  return found;
}

function join(begin: Uint8Array, end: Uint8Array): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(begin.length + end.length);
  joined.set(begin);
  joined.set(end, begin.length);
  return joined;
}

function decodeBase64(text: string): Uint8Array<ArrayBuffer> | null {
  try {
    return Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
  } catch {
    return null;
  }
}
