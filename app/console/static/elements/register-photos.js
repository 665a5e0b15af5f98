// <register-photos collection subject>: sends the photos of a <photo-source> inside it as a person's faces.
//
// With `with-fields` it reads collection, subject, name and consent from fields inside it. While the camera is open it
// says what the quality of the picture lacks. It also shows the receipt of an erasure.

import { announce, call, make, text } from "../api.js";

class RegisterPhotos extends HTMLElement {
  connectedCallback() {
    if (this.button) return;
    this.button = make("button", { type: "button", class: "primary", disabled: true }, text("register.button"));
    this.results = make("ul", { class: "hint", role: "status" });
    this.hints = make("p", { class: "hint", role: "status" });
    this.append(this.hints, make("div", { class: "row" }, this.button), this.results);
    this.addEventListener("photos", (event) => {
      this.files = event.detail;
      this.button.disabled = false;
    });
    this.addEventListener("frame", (event) => this.judge(event.detail));
    this.button.addEventListener("click", () => this.send());
  }

  value(name) {
    return this.querySelector(`[name=${name}]`)?.value || this.getAttribute(name) || "";
  }

  async judge(file) {
    if (this.isJudging) return;
    this.isJudging = true;
    const form = new FormData();
    form.append("image", file);
    try {
      const found = await call("POST", "/detect", { form });
      const reasons = found.faces[0]?.quality.reasons || [];
      this.hints.textContent = !found.faces.length ? text("quality.no_face")
        : found.faces.length > 1 ? text("quality.several")
        : reasons.length ? reasons.map((one) => text(`quality.${one.reason}`)).join(" ") : text("quality.good");
    } catch {
      this.hints.textContent = "";
    } finally {
      this.isJudging = false;
    }
  }

  async send() {
    const subject = this.querySelector("[name=subject]");
    if (subject && !subject.reportValidity()) return;
    const form = new FormData();
    for (const name of ["collection", "subject", "name", "consent"]) {
      if (this.value(name)) form.append(name, this.value(name));
    }
    for (const file of this.files) form.append("images", file);
    this.setAttribute("aria-busy", "true");
    this.button.disabled = true;
    try {
      const answer = await call("POST", "/register", { form });
      this.results.replaceChildren(
        make("li", {}, text("register.stored", { count: answer.templates.length })),
        ...(answer.refused || []).map((one) => make("li", { class: "problem" },
          `${this.files[one.index]?.name || one.index}: ${one.detail || text(`quality.${one.code}`)}`)));
      if (!(answer.refused || []).length) {
        const { root } = document.body.dataset;
        const path = [this.value("collection"), this.value("subject")].map(encodeURIComponent).join("/");
        location.assign(`${root}/console/people/${path}`);
      }
    } catch (problem) {
      announce(problem.message, "bad");
      this.button.disabled = false;
    } finally {
      this.removeAttribute("aria-busy");
    }
  }
}

customElements.define("register-photos", RegisterPhotos);

document.addEventListener("erased", (event) => {
  const receipt = event.target.closest("details")?.querySelector("erasure-receipt");
  if (!receipt) return;
  const data = URL.createObjectURL(new Blob([JSON.stringify(event.detail, null, 2)], { type: "application/json" }));
  receipt.replaceChildren(make("p", { role: "status" }, text("register.erased")),
    make("a", { href: data, download: "receipt.json", class: "button" }, text("register.receipt")));
  event.target.remove();
});
