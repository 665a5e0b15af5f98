/** Register and recognize people with a Vultus server, from a browser or from Node. */

export type * as models from "./models.js";
export * as problems from "./problems.js";

export type * from "./account.js";
export type * from "./albums.js";
export { Vultus, type RequestOptions } from "./client.js";
export type * from "./collections.js";
export type { Credentials } from "./credentials.js";
export { ApiError, ConnectionLost, VultusError, WebhookRefused, type InvalidField } from "./errors.js";
export type * from "./events.js";
export type { Photo } from "./photos.js";
export type { Watched } from "./progress.js";
export type * from "./recognition.js";
export type { Retries } from "./retries.js";
export type { Abortable } from "./signals.js";
export type * from "./subjects.js";
export type { Connection } from "./transport.js";
export type { Photos, Upload, UploadProgress } from "./uploads.js";
export type * from "./videos.js";
export { verifyWebhook, type MessageHeaders } from "./webhooks.js";
