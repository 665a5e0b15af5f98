// <selfie-search path field pictures>: finds the photos that show the person in a photo, page by page.

import { announce, call, make, text } from "../api.js";
import { photoName } from "../external-id.js";
import { scale } from "./similarity-scale.js";

class SelfieSearch extends HTMLElement {
  connectedCallback() {
    this.addEventListener("photos", (event) => this.send(event.detail[0]));
  }

  async send(file, cursor) {
    const form = new FormData();
    if (this.fields) for (const [name, value] of Object.entries(this.fields)) form.append(name, value);
    if (cursor) form.append("cursor", cursor);
    form.append(this.getAttribute("field"), file);
    this.setAttribute("aria-busy", "true");
    try {
      this.show(await call("POST", this.getAttribute("path"), { form, headers: this.headers }), file, cursor);
    } catch (problem) {
      announce(problem.message, "bad");
    } finally {
      this.removeAttribute("aria-busy");
    }
  }

  show(found, file, cursor) {
    const answer = this.querySelector(".answer");
    if (!cursor) {
      this.list = make("ul", { class: "cards" });
      answer.replaceChildren(make("p", {}, text(found.total ? "search.found" : "search.none", { count: found.total })), this.list);
    }
    answer.querySelector("button.more")?.remove();
    this.list.append(...found.items.map((one) => this.describe(one, found)));
    if (!found.next_cursor) return;
    const more = make("button", { type: "button", class: "more" }, text("button.more"));
    more.addEventListener("click", () => this.send(file, found.next_cursor));
    answer.append(more);
  }

  describe(photo, found) {
    const [face] = photo.faces;
    const isAddress = /^https:\/\/\S+$/.test(photo.external_id || "");
    const name = photoName(photo.external_id);
    const card = make("li", { class: "card" }, make("h3", { title: photo.external_id },
      isAddress ? make("a", { href: photo.external_id, rel: "noreferrer" }, name) : name));
    if (this.headers) return card;
    const pictures = this.getAttribute("pictures");
    if (pictures) card.append(make("img", { class: "crop", alt: "", src: `${document.body.dataset.api}${pictures}/${face.face_id}/picture` }));
    card.append(make("p", {}, make("span", { class: `badge ${face.decision === "match" ? "good" : "warn"}` }, text(`decision.${face.decision}`))),
      scale(face.similarity, { threshold: found.threshold, review: found.review_threshold, rate: face.false_match_rate }));
    return card;
  }
}

customElements.define("selfie-search", SelfieSearch);
