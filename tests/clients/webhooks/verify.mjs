// Verifies messages as a receiver in JavaScript does, and prints for each the event's type, or null if it is refused.
//
//   node verify.mjs < MESSAGES      (a JSON list of objects with secret, headers and body)

import { readFileSync } from "node:fs";

import { Webhook, WebhookVerificationError } from "standardwebhooks";

const messages = JSON.parse(readFileSync(0, "utf8"));
const types = messages.map(({ secret, headers, body }) => {
  try {
    return new Webhook(secret).verify(body, headers).type;
  } catch (error) {
    if (error instanceof WebhookVerificationError) return null;
    throw error;
  }
});
console.log(JSON.stringify(types));
