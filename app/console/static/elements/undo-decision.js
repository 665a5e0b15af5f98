// <undo-decision>: undoes decisions, the newest first, also after a reload of the page. And: say whom faces show.

import { announce, call, make, text } from "../api.js";

const KEY = "vultus-decided";
const MOST = 50;
const read = () => JSON.parse(sessionStorage.getItem(KEY) || "[]");

function write(decided) {
  sessionStorage.setItem(KEY, JSON.stringify(decided.slice(-MOST)));
  document.querySelectorAll("undo-decision").forEach((one) => one.refresh());
}

/** Remember operations, in the order in which they were done, as one decision. */
export function remember(operations) {
  if (operations.length) write([...read(), operations]);
}

/** Forget an operation, and its decision with the last of them. */
function forget(operation) {
  write(read().map((one) => one.filter((id) => id !== operation)).filter((one) => one.length));
}

/** Send a person by `send({collection, subject})`; one who does not exist is created if the form has a name. */
export async function withPerson(form, send) {
  const { collection, subject, name } = form.elements;
  const person = { collection: collection.value, subject: subject.value.trim() };
  try {
    return await send(person);
  } catch (problem) {
    if (problem.code !== "subject_not_found" || !name.value.trim()) throw problem;
    await call("POST", `/collections/${encodeURIComponent(person.collection)}/subjects`,
      { json: { subject: person.subject, name: name.value.trim() } });
    return send(person);
  }
}

/** Offer registered people while somebody types into a form for a person. */
function suggest(form) {
  const { collection, subject } = form.elements;
  const list = make("datalist", { id: `people-${form.dataset.cluster || "one"}` });
  form.append(list);
  subject.setAttribute("list", list.id);
  subject.addEventListener("input", async () => {
    if (subject.value.length < 2) return;
    const path = `/collections/${encodeURIComponent(collection.value)}/subjects?limit=8&q=${encodeURIComponent(subject.value)}`;
    const found = await call("GET", path).catch(() => ({ items: [] }));
    list.replaceChildren(...found.items.map((one) => make("option", { value: one.subject }, one.name || "")));
  });
}

document.querySelectorAll("form.name").forEach(suggest);

const mayPass = ({ status }) => status === 0 || status === 429 || status >= 500;

class UndoDecision extends HTMLElement {
  last = Promise.resolve();

  connectedCallback() {
    this.button = this.querySelector("button");
    this.button.addEventListener("click", () => this.undo());
    this.refresh();
  }

  /** A page that is about to be left, and says so by `aria-busy`, offers nothing to undo: it would be cut short. */
  refresh() {
    this.button.disabled = !read().length || this.closest("[aria-busy=true]") !== null;
  }

  undo() {
    this.last = this.last.then(() => this.button.disabled || this.undoNewest());
  }

  async undoNewest() {
    const operations = read().at(-1);
    try {
      for (const one of operations.toReversed()) {
        await call("POST", `/operations/${one}/undo`);
        forget(one);
      }
      announce(text("undo.done"));
      this.dispatchEvent(new CustomEvent("undone", { bubbles: true, detail: operations }));
    } catch (problem) {
      if (!mayPass(problem)) operations.forEach(forget);
      announce(problem.message, "bad");
    }
  }
}

customElements.define("undo-decision", UndoDecision);
