// <person-export> saves all data about a person as a file, <person-import> stores such a file.

import { call, make, text } from "../api.js";

class Transfer extends HTMLElement {
  connectedCallback() {
    const form = this.querySelector("form");
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const output = form.querySelector("output");
      output.className = "";
      output.textContent = text("transfer.working");
      try {
        output.replaceChildren(await this.work(form));
      } catch (problem) {
        output.className = "problem";
        output.textContent = problem instanceof SyntaxError ? text("transfer.no_export") : problem.message;
      }
    });
  }
}

class PersonExport extends Transfer {
  async work(form) {
    const { collection, subject } = Object.fromEntries(new FormData(form));
    const path = `/collections/${encodeURIComponent(collection)}/subjects/${encodeURIComponent(subject)}/export`;
    const document_ = JSON.stringify(await call("GET", path));
    const href = URL.createObjectURL(new Blob([document_], { type: "application/json" }));
    return make("a", { href, download: `${collection}-${subject}.json`, class: "button" }, text("transfer.save"));
  }
}
customElements.define("person-export", PersonExport);

class PersonImport extends Transfer {
  async work(form) {
    const json = JSON.parse(await form.elements.file.files[0].text());
    const { collection } = json;
    const { subject } = await call("POST", "/subjects/import", { json });
    const path = `${document.body.dataset.console}/people/${encodeURIComponent(collection)}/${encodeURIComponent(subject)}`;
    return make("a", { href: path }, text("transfer.stored", { subject }));
  }
}
customElements.define("person-import", PersonImport);
