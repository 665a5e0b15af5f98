/** Turns a refused request into the error of its code. */

import { ApiError, type InvalidField } from "./errors.js";
import { BY_CODE } from "./problems.js";

/** Returns the error of a refused request, whose body it reads. */
export async function readRefusal(response: Response, base: string): Promise<ApiError> {
  const body = await readObject(response);
  const code = text(body["code"]) ?? `http_${response.status}`;
  const kind = BY_CODE.get(code) ?? ApiError;
  const type = text(body["type"]);
  return new kind({
    code,
    status: response.status,
    detail: text(body["detail"]) ?? `status ${response.status} without a description`,
    fields: Array.isArray(body["errors"]) ? (body["errors"] as InvalidField[]) : [],
    requestId: text(body["request_id"]) ?? response.headers.get("x-request-id"),
    retryAfterS: readRetryAfter(response),
    remedyUrl: type?.startsWith("/") ? base + type : (type ?? null),
  });
}

/** Returns the seconds that the server asks to wait; null: it does not say. */
export function readRetryAfter(response: Response): number | null {
  const sent = response.headers.get("retry-after")?.trim() ?? "";
  if (/^\d+(\.\d+)?$/.test(sent)) return Number(sent);
  const at = sent.includes(":") ? Date.parse(sent) : NaN;
  return Number.isNaN(at) ? null : Math.max(0, (at - Date.now()) / 1000);
}

async function readObject(response: Response): Promise<Record<string, unknown>> {
  try {
    const body: unknown = JSON.parse(await response.text());
    return typeof body === "object" && body !== null && !Array.isArray(body) ? { ...body } : {};
  } catch {
    return {};
  }
}

function text(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}
