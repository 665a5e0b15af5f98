// Forms that the REST API answers: <form data-api="POST /collections" data-then="reload">.
//
// - data-api: method and path below /api/v1. A {name} in the path is replaced by that field.
// - data-then: "reload", a path of the console, or the name of an event that the form sends with the answer.
// - data-confirm: a question to answer before. data-show: fields of the answer to show once, such as a secret;
//   with data-show-at as a part of this address of the console.
// - Fields: data-type="number|boolean|list|json|time"; empty ones are left out, or null with data-null.

import { announce, call, make, text } from "./api.js";

function read(field) {
  if (field.type === "checkbox") return field.checked;
  const value = field.value;
  if (value === "") return field.hasAttribute("data-null") ? null : undefined;
  switch (field.dataset.type) {
    case "number": return Number(value);
    case "boolean": return value === "true";
    case "list": return value.split(/[\n,]/).map((one) => one.trim()).filter(Boolean);
    case "json": return JSON.parse(value);
    case "time": return new Date(value).toISOString();
    default: return value;
  }
}

function collect(form) {
  const fields = [...form.elements].filter((one) => one.name && !one.disabled && one.type !== "submit");
  const values = {};
  for (const field of fields) {
    if (field.type === "radio" && !field.checked) continue;
    if (field.type === "checkbox" && field.dataset.type === "set") {
      (values[field.name] ||= []);
      if (field.checked) values[field.name].push(field.value);
      continue;
    }
    if (field.tagName === "SELECT" && field.multiple) {
      values[field.name] = [...field.selectedOptions].map((one) => one.value);
      continue;
    }
    const value = read(field);
    if (value !== undefined) values[field.name] = value;
  }
  return values;
}

function showErrors(form, problem) {
  form.querySelectorAll("[aria-invalid]").forEach((one) => one.removeAttribute("aria-invalid"));
  const first = Object.keys(problem.fields).map((name) => form.elements[name.split(".")[0]]).find((one) => one?.focus);
  if (first) {
    first.setAttribute("aria-invalid", "true");
    first.focus();
  }
  let output = form.querySelector("output.problem");
  if (!output) form.append((output = make("output", { class: "problem", role: "alert" })));
  output.textContent = problem.message;
}

async function submit(form, submitter) {
  if (form.dataset.confirm && !(await ask(form.dataset.confirm))) return;
  const [method, template] = (submitter?.dataset.api || form.dataset.api).split(" ");
  const isMultipart = form.enctype === "multipart/form-data";
  const values = collect(form);
  const path = template.replace(/\{(\w+)\}/g, (_, name) => {
    const value = values[name];
    delete values[name];
    return encodeURIComponent(value);
  });
  const options = {};
  if (isMultipart) options.form = new FormData(form);
  else if (method !== "DELETE" && (Object.keys(values).length || !form.hasAttribute("data-empty"))) options.json = values;
  form.setAttribute("aria-busy", "true");
  try {
    const answer = await call(method, path, options);
    form.querySelector("output.problem")?.remove();
    const { show: shown = "", showAt } = form.dataset;
    const before = showAt ? location.origin + document.body.dataset.console + showAt : "";
    for (const name of shown.split(" ").filter(Boolean)) await show(before ? before + answer[name] : answer[name]);
    const then = form.dataset.then || "reload";
    if (then === "reload") location.reload();
    else if (then.startsWith("/")) location.assign(document.body.dataset.root + then);
    else form.dispatchEvent(new CustomEvent(then, { bubbles: true, detail: answer }));
  } catch (problem) {
    if (problem.fields) showErrors(form, problem);
    else if (problem instanceof SyntaxError) announce(text("error.not_json"), "bad");
    else throw problem;
  } finally {
    form.removeAttribute("aria-busy");
  }
}

function dialog(...content) {
  const element = make("dialog", {}, ...content);
  document.body.append(element);
  element.showModal();
  return new Promise((resolve) => element.addEventListener("close", () => {
    element.remove();
    resolve(element.returnValue);
  }));
}

/** Ask a question; returns whether it was answered with yes. */
export async function ask(question) {
  const buttons = make("form", { method: "dialog", class: "row" },
    make("button", { value: "yes", class: "primary" }, text("button.yes")),
    make("button", { value: "no", autofocus: true }, text("button.no")));
  return (await dialog(make("p", {}, question), buttons)) === "yes";
}

/** Show a value, or a list of them, that is not shown again; a path becomes an address. */
export async function show(shown) {
  const value = Array.isArray(shown) ? shown.join("\n") : shown.startsWith("/") ? location.origin + shown : shown;
  const field = make(Array.isArray(shown) ? "textarea" : "input",
    { readonly: true, value, rows: 10, "aria-label": text("secret.label"), class: "secret" });
  field.value = value;
  const copy = make("button", { type: "button" }, text("button.copy"));
  copy.addEventListener("click", () => navigator.clipboard?.writeText(value).then(() => announce(text("secret.copied"))));
  await dialog(make("h2", {}, text("secret.title")), make("p", {}, text("secret.once")), field,
    make("form", { method: "dialog", class: "row" }, copy, make("button", { class: "primary" }, text("button.done"))));
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset?.api || event.submitter?.dataset.api) {
    event.preventDefault();
    submit(form, event.submitter);
  }
});

// Times in the viewer's zone: <time datetime="2026-03-02T14:05:11Z">.
function localize(root) {
  const form = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });
  root.querySelectorAll("time[datetime]").forEach((one) => {
    const at = new Date(one.dateTime);
    if (!Number.isNaN(at.valueOf())) {
      one.textContent = form.format(at);
      one.title = one.dateTime;
    }
  });
}
localize(document);
document.addEventListener("htmx:afterSwap", (event) => localize(event.target));
