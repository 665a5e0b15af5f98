// Pages of links: <account-link> lets the owner of an invitation or a reset choose a password; the token stays behind
// the # until then. <forgotten-password> says that a mail is on its way, if there is an account.

import { call, text } from "../api.js";

class AccountLink extends HTMLElement {
  async connectedCallback() {
    const [about, form, done] = [".about", "form", ".done"].map((one) => this.querySelector(one));
    const token = location.hash.slice(1);
    history.replaceState(null, "", location.pathname);
    form.addEventListener("used", () => {
      form.hidden = true;
      done.hidden = false;
      about.textContent = text("link.done");
    });
    try {
      const link = await call("POST", "/auth/link", { json: { token } });
      form.elements.token.value = token;
      form.querySelector(".email").value = link.email;
      const role = link.role && text(`role.${link.role}`);
      about.textContent = text(`link.about_${link.kind}`, { ...link, role });
      form.hidden = false;
      form.elements.password.focus();
    } catch (problem) {
      about.textContent = problem.code === "link_not_found" ? text("link.ended") : problem.message;
    }
  }
}
customElements.define("account-link", AccountLink);

class ForgottenPassword extends HTMLElement {
  connectedCallback() {
    this.addEventListener("asked", () => {
      this.querySelector("form").hidden = true;
      this.querySelector("[role=status]").textContent = text("forgotten.asked");
    });
  }
}
customElements.define("forgotten-password", ForgottenPassword);
