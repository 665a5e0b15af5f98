// <guest-page>: an album for guests. The link's token is in the fragment of the address, and goes nowhere but to the API.

import { call, text } from "../api.js";

class GuestPage extends HTMLElement {
  connectedCallback() {
    const search = this.querySelector("selfie-search");
    this.querySelector("[name=consent]").addEventListener("change", (event) => (search.hidden = !event.target.checked));
    addEventListener("hashchange", () => this.open(search));
    this.open(search);
  }

  async open(search) {
    const headers = { authorization: `Bearer ${decodeURIComponent(location.hash.slice(1))}` };
    const problemLine = this.querySelector(".problem");
    problemLine.textContent = "";
    try {
      if (location.hash.length < 2) throw new Error(text("guest.no_link"));
      const album = await call("GET", "/guest/album", { headers });
      Object.assign(search, { headers, fields: { consent: "given" } });
      if (album.title) this.querySelector("h1").textContent = album.title;
      this.querySelector(".consent").textContent = album.consent_text;
      this.querySelector(".album").hidden = false;
    } catch (problem) {
      problemLine.textContent = [401, 404].includes(problem.status) ? text("guest.no_link") : problem.message;
      this.querySelector(".album").hidden = true;
    }
  }
}

customElements.define("guest-page", GuestPage);
