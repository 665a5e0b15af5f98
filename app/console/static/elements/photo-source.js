// <photo-source name="image" multiple camera>: a photo that is dropped, chosen, pasted, or taken by the camera.
//
// Sends the event "photos" with a list of files. Other elements read `files`; in a form it adds them under its name.

import { announce, make, text } from "../api.js";

class PhotoSource extends HTMLElement {
  static formAssociated = true;
  files = [];

  constructor() {
    super();
    this.internals = this.attachInternals();
  }

  connectedCallback() {
    if (this.input) return;
    const many = this.hasAttribute("multiple");
    this.input = make("input", { type: "file", accept: "image/*", multiple: many, class: "hidden-input",
      "aria-label": text(many ? "photo.choose_many" : "photo.choose") });
    const choose = make("label", { class: "button primary" }, this.input, text(many ? "photo.choose_many" : "photo.choose"));
    const row = make("div", { class: "row" }, choose);
    if (this.hasAttribute("camera") && navigator.mediaDevices) {
      const button = make("button", { type: "button" }, text("photo.camera"));
      button.addEventListener("click", () => this.openCamera());
      row.append(button);
    }
    this.status = make("p", { class: "hint", role: "status" }, text("photo.drop"));
    this.append(row, this.status);
    this.input.addEventListener("change", () => this.take([...this.input.files]));
    this.addEventListener("dragover", (event) => {
      event.preventDefault();
      this.classList.add("over");
    });
    this.addEventListener("dragleave", () => this.classList.remove("over"));
    this.addEventListener("drop", (event) => {
      event.preventDefault();
      this.classList.remove("over");
      this.take([...event.dataTransfer.files]);
    });
    this.addEventListener("paste", (event) => this.take([...event.clipboardData.files]));
  }

  take(files) {
    const photos = files.filter((one) => one.type.startsWith("image/") || one.type === "");
    if (!photos.length) return;
    this.files = this.hasAttribute("multiple") ? photos : photos.slice(0, 1);
    const data = new FormData();
    for (const file of this.files) data.append(this.getAttribute("name") || "image", file);
    this.internals.setFormValue(data);
    this.status.textContent = this.files.map((one) => one.name).slice(0, 3).join(", ") +
      (this.files.length > 3 ? ` +${this.files.length - 3}` : "");
    this.dispatchEvent(new CustomEvent("photos", { bubbles: true, detail: this.files }));
  }

  async openCamera() {
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user", width: 1280 } });
    } catch {
      announce(text("photo.no_camera"), "bad");
      return;
    }
    const video = make("video", { autoplay: true, playsinline: true, muted: true });
    video.srcObject = this.stream;
    const shoot = make("button", { type: "button", class: "primary" }, text("photo.shoot"));
    const stop = make("button", { type: "button" }, text("button.cancel"));
    this.camera = make("div", { class: "camera" }, video, make("div", { class: "row" }, shoot, stop));
    this.append(this.camera);
    const frame = () => new Promise((resolve) => {
      const canvas = make("canvas", { width: video.videoWidth, height: video.videoHeight });
      canvas.getContext("2d").drawImage(video, 0, 0);
      canvas.toBlob((blob) => resolve(blob && new File([blob], "camera.jpg", { type: "image/jpeg" })), "image/jpeg", 0.92);
    });
    shoot.addEventListener("click", async () => {
      const file = await frame();
      this.closeCamera();
      if (file) this.take([file]);
    });
    stop.addEventListener("click", () => this.closeCamera());
    this.hints = setInterval(async () => {
      const file = video.videoWidth ? await frame() : null;
      if (file) this.dispatchEvent(new CustomEvent("frame", { bubbles: true, detail: file }));
    }, 1500);
  }

  closeCamera() {
    clearInterval(this.hints);
    this.stream?.getTracks().forEach((track) => track.stop());
    this.camera?.remove();
  }

  disconnectedCallback() {
    this.closeCamera();
  }
}

customElements.define("photo-source", PhotoSource);
