// <album-progress album>: follows the progress of an album, and has the list of photos loaded again.

import { text } from "../api.js";

class AlbumProgress extends HTMLElement {
  connectedCallback() {
    const { api } = document.body.dataset;
    this.events = new EventSource(`${api}/albums/${encodeURIComponent(this.getAttribute("album"))}/events`);
    for (const name of ["progress", "done"]) this.events.addEventListener(name, (event) => this.show(JSON.parse(event.data), name));
    this.events.addEventListener("erased", () => this.events.close());
  }

  disconnectedCallback() {
    this.events.close();
  }

  show({ photos, photos_per_second: speed, remaining_s: left }, name) {
    let changed = false;
    this.querySelectorAll("[data-count]").forEach((one) => {
      const count = String(photos[one.dataset.count]);
      changed ||= one.textContent !== count;
      one.textContent = count;
    });
    const bar = this.querySelector("progress");
    bar.max = photos.total || 1;
    bar.value = photos.done + photos.failed;
    const speech = name === "done" ? text("progress.finished")
      : left === null ? "" : text("progress.speed", { speed, seconds: Math.ceil(left) });
    const said = this.querySelector(".speed");
    if (said.textContent !== speech) said.textContent = speech;
    // A list in which somebody moves by keyboard stays as it is.
    const list = document.getElementById("photos");
    if (changed && !list?.contains(document.activeElement)) document.body.dispatchEvent(new CustomEvent("album-changed"));
  }
}

customElements.define("album-progress", AlbumProgress);
