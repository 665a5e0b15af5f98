// <compare-photos>: compares the largest face of one photo with the faces of another.

import { announce, call, make, text } from "../api.js";
import { scale } from "./similarity-scale.js";

class ComparePhotos extends HTMLElement {
  files = {};

  connectedCallback() {
    this.addEventListener("photos", (event) => {
      this.files[event.target.getAttribute("name")] = event.detail[0];
      if (this.files.source && this.files.target) this.send();
    });
  }

  async send() {
    const form = new FormData();
    form.append("source", this.files.source);
    form.append("target", this.files.target);
    this.setAttribute("aria-busy", "true");
    try {
      this.show(await call("POST", "/compare", { form }));
    } catch (problem) {
      announce(problem.message, "bad");
    } finally {
      this.removeAttribute("aria-busy");
    }
  }

  show(found) {
    const [first, second] = this.querySelectorAll("face-picture");
    const kind = (one) => one.decision.replace("no_match", "unknown");
    first.show(this.files.source, [{ box: found.source.box, label: "1" }]);
    second.show(this.files.target, found.targets.map((one, index) => ({ box: one.box, kind: kind(one), label: `${index + 1}` })));
    const answer = this.querySelector(".answer");
    if (!found.targets.length) {
      answer.replaceChildren(make("p", {}, text("compare.no_faces")));
      return;
    }
    answer.replaceChildren(...found.targets.map((one, index) => make("section", {},
      make("h2", {}, text("compare.face", { number: index + 1 }), " ", make("span", { class: "badge" }, text(`decision.${one.decision}`))),
      scale(one.similarity, { threshold: found.threshold, review: found.review_threshold, rate: one.false_match_rate }))));
  }
}

customElements.define("compare-photos", ComparePhotos);
