// <review-queue>: decides faces by one key each, several at once, and undoes it.
//
// A card leaves at once, and comes back if the server refuses. Keys work only while the focus is in the queue.

import { announce, call, text } from "../api.js";
import { remember, withPerson } from "./undo-decision.js";

const KEYS = { c: "confirm", r: "reject", i: "ignore", n: "name" };
const FEW = 6;

class ReviewQueue extends HTMLElement {
  left = new Map();
  sending = Promise.resolve();

  connectedCallback() {
    this.list = this.querySelector(".sightings");
    this.dialog = this.querySelector("dialog");
    this.tools = this.querySelector(".tools");
    this.addEventListener("keydown", (event) => this.press(event));
    this.addEventListener("focusin", (event) => this.enter(event.target.closest(".sighting")));
    this.addEventListener("click", (event) => {
      const verdict = event.target.closest("[data-verdict]")?.dataset.verdict;
      if (verdict) this.decide(verdict);
    });
    this.querySelector(".all")?.addEventListener("change", (event) => this.select(event.target.checked));
    this.addEventListener("undone", (event) => this.restore(event.detail));
    const form = this.dialog.querySelector("form");
    form.addEventListener("submit", (event) => this.name(event, form));
    form.querySelector("[data-cancel]").addEventListener("click", () => this.dialog.close());
    this.focusOn(this.cards()[0], document.activeElement === document.body);
  }

  cards() {
    return [...this.list.querySelectorAll(".sighting")];
  }

  enter(card) {
    if (!card) return;
    this.current?.setAttribute("tabindex", "-1");
    this.current = card;
    card.setAttribute("tabindex", "0");
  }

  focusOn(card, really = true) {
    if (!card) return;
    this.enter(card);
    if (really) card.focus();
  }

  press(event) {
    const { target, key } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || this.dialog.open || /^(text|search)$/.test(target.type)) return;
    const name = key.toLowerCase();
    const place = this.cards().indexOf(this.current);
    const box = this.current?.querySelector(".chosen");
    if (["j", "arrowdown", "arrowright"].includes(name)) this.focusOn(this.cards()[place + 1]);
    else if (["k", "arrowup", "arrowleft"].includes(name)) this.focusOn(this.cards()[place - 1]);
    else if (!this.tools) return;
    else if (name === "x" && box) box.checked = !box.checked;
    else if (name === "a") this.select(!this.cards().every((one) => one.querySelector(".chosen").checked));
    else if (name === "u") this.sending.then(() => this.querySelector("undo-decision").undo());
    else if (KEYS[name] && this.tools.querySelector(`[data-verdict=${KEYS[name]}]`)) this.decide(KEYS[name]);
    else return;
    event.preventDefault();
  }

  select(isChosen) {
    this.querySelector(".all").checked = isChosen;
    this.cards().forEach((one) => (one.querySelector(".chosen").checked = isChosen));
  }

  /** Return the cards that a decision is about: those chosen, else the current one. */
  chosen() {
    const chosen = this.cards().filter((one) => one.querySelector(".chosen").checked);
    return chosen.length ? chosen : this.cards().filter((one) => one === this.current);
  }

  decide(verdict) {
    const cards = this.chosen();
    if (!cards.length) return;
    if (verdict === "name") this.dialog.showModal();
    else {
      const sent = this.send(cards, verdict).catch((problem) => announce(problem.message, "bad"));
      this.sending = Promise.all([this.sending, sent]);  // what is undone next is what was decided last
    }
  }

  async name(event, form) {
    event.preventDefault();
    const cards = this.chosen();
    try {
      await withPerson(form, (person) => this.send(cards, "confirm", { person, as_template: form.elements.keep.checked }));
      this.dialog.close();
      form.reset();
      this.focusOn(this.current);
    } catch (problem) {
      announce(problem.message, "bad");
    }
  }

  async send(cards, verdict, more = {}) {
    const all = this.cards();
    const next = all.slice(all.indexOf(cards.at(-1))).find((one) => !cards.includes(one)) || all.findLast((one) => !cards.includes(one));
    cards.forEach((one) => one.remove());
    if (next) this.focusOn(next, !this.dialog.open);
    let refused = cards;
    try {
      const decisions = cards.map((one) => ({ face_id: one.dataset.face, verdict, ...more }));
      const answer = await call("POST", "/sightings/decide", { json: { decisions } });
      const problem = answer.items.find((one) => one.problem)?.problem;
      refused = cards.filter((_, index) => answer.items[index].problem);
      this.left.set(answer.operations.join(), cards.filter((one) => !refused.includes(one)));
      remember(answer.operations);
      this.querySelector(".said").textContent = text(`review.said_${verdict}`, { count: cards.length - refused.length });
      if (problem) throw Object.assign(new Error(problem.detail), problem);
    } finally {
      this.put(refused);
      this.tidy();
    }
  }

  put(cards) {
    cards.forEach((one) => (one.querySelector(".chosen").checked = false));
    this.list.prepend(...cards);
    if (cards.length && !this.dialog.open) this.focusOn(cards[0]);
  }

  restore(operations) {
    const cards = this.left.get(operations.join());
    if (!cards) location.reload();
    else this.put(cards);
    this.tidy();
  }

  tidy() {
    const { length } = this.cards();
    if (length < FEW) this.list.querySelector(".more button")?.click();
    this.querySelector(".nothing").hidden = length > 0 || this.list.querySelector(".more") !== null;
    this.querySelector(".all").checked = false;
  }
}

customElements.define("review-queue", ReviewQueue);
