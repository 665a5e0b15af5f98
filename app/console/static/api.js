// Call the REST API with the session's cookie, and describe what it refuses.

const { api, csrf } = document.body.dataset;

/** What the API refused: `status`, `code`, `detail`, and `fields`, a detail for each field that it names. */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `${status}`);
    this.status = status;
    this.code = body.code || "";
    this.fields = Object.fromEntries((body.errors || []).map((one) => [one.field, one.detail]));
    this.retryAfterS = 0;
  }
}

/** Send a request and return its JSON, or null without a body. `json` is an object, `form` a FormData. */
export async function call(method, path, { json, form, signal, headers } = {}) {
  const sent = { "x-csrf-token": csrf || "", ...headers };
  if (json !== undefined) sent["content-type"] = "application/json";
  const body = json !== undefined ? JSON.stringify(json) : form;
  let response;
  try {
    response = await fetch(api + path, { method, body, signal, headers: sent, credentials: "same-origin" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { code: "offline", detail: text("error.offline") });
  }
  if (response.status === 204) return null;
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  const problem = new Problem(response.status, answer);
  problem.retryAfterS = Number(response.headers.get("retry-after")) || 0;
  throw problem;
}

const texts = JSON.parse(document.getElementById("texts")?.textContent || "{}");

/** Return a text of the page's language, with {names} replaced. */
export function text(key, values = {}) {
  return (texts[key] ?? key).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

/** Make an element: `make("p", {class: "hint"}, "text", child)`. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Say something at the edge of the page, to screen readers too. */
export function announce(message, kind = "info") {
  const area = document.getElementById("announcements");
  const note = make("p", { class: `note ${kind}` }, message);
  area.append(note);
  setTimeout(() => note.remove(), 8000);
}
