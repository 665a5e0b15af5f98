// <recognize-photo>: recognizes the faces of a photo, draws them, and explains the candidates.

import { announce, call, make, text } from "../api.js";
import { scale } from "./similarity-scale.js";

class RecognizePhoto extends HTMLElement {
  connectedCallback() {
    this.addEventListener("photos", (event) => this.send(event.detail[0]));
    this.addEventListener("face", (event) => this.querySelectorAll(".answer > section")[event.detail]?.scrollIntoView());
    this.querySelector("[name=collection]").addEventListener("change", () => this.file && this.send(this.file));
  }

  async send(file) {
    this.file = file;
    const form = new FormData();
    form.append("image", file);
    form.append("collection", this.querySelector("[name=collection]").value);
    this.setAttribute("aria-busy", "true");
    try {
      this.show(await call("POST", "/recognize", { form }));
    } catch (problem) {
      announce(problem.message, "bad");
    } finally {
      this.removeAttribute("aria-busy");
    }
  }

  show(found) {
    const boxes = found.faces.map((face, index) => {
      const best = face.candidates[0];
      const kind = best ? best.decision.replace("no_match", "unknown") : "unknown";
      return { box: face.box, kind, label: best && kind !== "unknown" ? best.name || best.subject : `${index + 1}` };
    });
    this.querySelector("face-picture").show(this.file, boxes);
    const answer = this.querySelector(".answer");
    if (!found.faces.length) answer.replaceChildren(make("p", {}, text("recognize.no_faces")));
    else answer.replaceChildren(...found.faces.map((face, index) => this.describe(face, index, found)));
    if (found.faces_left_out) answer.append(make("p", { class: "hint" }, text("recognize.left_out", { count: found.faces_left_out })));
  }

  describe(face, index, found) {
    const reasons = face.quality.reasons || [];
    const section = make("section", { class: "card" }, make("h2", {}, text("recognize.face", { number: index + 1 })),
      make("p", { class: "hint" }, reasons.length ? reasons.map((one) => text(`quality.${one.reason}`)).join(" ") : text("quality.good")));
    if (!face.candidates.length) section.append(make("p", {}, text("recognize.nobody")));
    for (const one of face.candidates) {
      const badge = { match: "good", review: "warn" }[one.decision] || "";
      section.append(make("h3", {}, one.name || one.subject, " ", make("span", { class: `badge ${badge}` }, text(`decision.${one.decision}`))),
        scale(one.similarity, { threshold: found.threshold, review: found.review_threshold, rate: one.false_match_rate }));
    }
    return section;
  }
}

customElements.define("recognize-photo", RecognizePhoto);
