// <send-video>: sends a video with its progress; the same file is not added twice.

import { Problem, text } from "../api.js";
import { externalId } from "../external-id.js";

class SendVideo extends HTMLElement {
  connectedCallback() {
    this.form = this.querySelector("form");
    this.bar = this.querySelector("progress");
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.send(this.form.elements.video.files[0]);
    });
  }

  send(file) {
    const fields = new FormData(this.form);
    fields.delete("video"); // the file must be the last part
    fields.append("external_id", externalId(file));
    fields.append("video", file);
    const { api, csrf, console: home } = document.body.dataset;
    const request = new XMLHttpRequest(); // says how much is sent, as fetch does not
    request.open("POST", `${api}/videos`);
    request.setRequestHeader("x-csrf-token", csrf);
    request.responseType = "json";
    request.upload.addEventListener("progress", (event) => {
      this.bar.max = event.total || 1;
      this.bar.value = event.loaded;
    });
    request.addEventListener("load", () => {
      if (request.status < 300) location.assign(`${home}/videos/${request.response.video_id}`);
      else this.end(new Problem(request.status, request.response || {}).message);
    });
    request.addEventListener("error", () => this.end(text("error.offline")));
    this.end("");
    this.bar.hidden = false;
    this.form.querySelector("button").disabled = true;
    request.send(fields);
  }

  end(words) {
    this.bar.hidden = true;
    this.form.querySelector("button").disabled = false;
    this.querySelector(".said").textContent = words;
  }
}

customElements.define("send-video", SendVideo);
