// <unknown-people then>: names, merges and splits groups of unknown faces.

import { announce, call } from "../api.js";
import { remember, withPerson } from "./undo-decision.js";

class UnknownPeople extends HTMLElement {
  connectedCallback() {
    this.merge = this.querySelector("[data-merge]");
    this.split = this.querySelector("[data-split]");
    this.addEventListener("change", () => this.offer());
    this.addEventListener("undone", () => location.reload());
    this.merge?.addEventListener("click", () => this.change(() => this.mergeChosen()));
    this.split?.addEventListener("click", () => this.change(() => this.splitChosen()));
    this.addEventListener("submit", (event) => {
      event.preventDefault();
      this.change(() => this.name(event.target));
    });
    this.offer();
  }

  chosen(name) {
    return [...this.querySelectorAll(".chosen:checked")].map((one) => one.closest(`[data-${name}]`).dataset[name]);
  }

  offer() {
    const count = this.querySelectorAll(".chosen:checked").length;
    if (this.merge) this.merge.disabled = count < 2;
    if (this.split) this.split.disabled = !count || count === this.querySelectorAll(".chosen").length;
  }

  async change(work) {
    this.setAttribute("aria-busy", "true");
    try {
      await work();
    } catch (problem) {
      announce(problem.message, "bad");
      this.removeAttribute("aria-busy");
      this.querySelector("undo-decision")?.refresh();
    }
  }

  leave() {
    const then = this.getAttribute("then");
    if (then) location.assign(document.body.dataset.console + then);
    else location.reload();
  }

  async mergeChosen() {
    const [first, ...others] = this.chosen("cluster");
    const operations = [];
    try {
      for (const one of others) {
        operations.push((await call("POST", `/clusters/${first}/merge`, { json: { cluster_id: one } })).operation_id);
      }
    } finally {
      remember(operations);
    }
    location.reload();
  }

  async splitChosen() {
    const answer = await call("POST", `/clusters/${this.split.dataset.split}/split`, { json: { face_ids: this.chosen("face") } });
    remember([answer.operation_id]);
    this.leave();
  }

  async name(form) {
    const { cluster, faces } = form.closest("[data-faces]").dataset;
    let person;
    const done = await withPerson(form, (one) => call("POST", `/clusters/${cluster}/assign`, { json: (person = one) }));
    const operations = [done.operation_id];
    try {
      if (form.elements.keep.checked) {
        const decisions = faces.split(" ").map((face_id) => ({ face_id, verdict: "confirm", person, as_template: true }));
        const stored = await call("POST", "/sightings/decide", { json: { decisions } });
        operations.push(...stored.operations);
        const refused = stored.items.find((one) => one.problem);
        if (refused) throw new Error(refused.problem.detail);
      }
    } finally {
      remember(operations);
    }
    this.leave();
  }
}

customElements.define("unknown-people", UnknownPeople);
