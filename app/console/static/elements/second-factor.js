// <second-factor>: show the secret that the form inside begins with, and confirm it by a code.

import { make, text } from "../api.js";

class SecondFactor extends HTMLElement {
  connectedCallback() {
    this.addEventListener("begun", (event) => this.#confirm(event.detail));
  }

  #confirm({ secret, qr_code }) {
    const code = make("input", {
      id: "factor-code", name: "code", inputmode: "numeric", autocomplete: "one-time-code", required: true, maxlength: 6,
    });
    const form = make("form", { class: "stack", "data-api": "POST /auth/second-factor/confirm", "data-show": "recovery_codes" },
      make("p", {}, text("factor.scan")),
      make("img", { src: qr_code, alt: text("factor.qr"), class: "qr" }),
      make("p", { class: "hint" }, text("factor.type"), " ", make("code", {}, secret)),
      make("div", {}, make("label", { for: "factor-code" }, text("factor.code")), code),
      make("div", { class: "row" }, make("button", { class: "primary" }, text("factor.confirm"))));
    this.replaceChildren(form);
    code.focus();
  }
}
customElements.define("second-factor", SecondFactor);
