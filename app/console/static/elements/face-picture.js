// <face-picture>: a picture with boxes over its faces. `show(file, faces)`: faces have `box` in pixels of the upright picture.
//
// The picture is drawn from the file that the browser has; it is not sent for that.

import { make } from "../api.js";

class FacePicture extends HTMLElement {
  async show(file, faces) {
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = URL.createObjectURL(file);
    const picture = make("img", { src: this.url, alt: "" });
    await picture.decode().catch(() => {});
    const { naturalWidth: width, naturalHeight: height } = picture;  // upright, as boxes are
    const frame = make("div", { class: "faces" }, picture);
    faces.forEach((face, index) => {
      const box = make("button", { type: "button", class: `face ${face.kind || ""}`, "aria-label": face.label || `${index + 1}` },
        make("span", {}, face.label || `${index + 1}`));
      // Styles by properties: the policy of the page allows no style attributes.
      box.style.left = `${(100 * face.box.x) / width}%`;
      box.style.top = `${(100 * face.box.y) / height}%`;
      box.style.width = `${(100 * face.box.width) / width}%`;
      box.style.height = `${(100 * face.box.height) / height}%`;
      box.addEventListener("click", () => this.dispatchEvent(new CustomEvent("face", { bubbles: true, detail: index })));
      frame.append(box);
    });
    this.replaceChildren(frame);
  }

  disconnectedCallback() {
    if (this.url) URL.revokeObjectURL(this.url);
  }
}

customElements.define("face-picture", FacePicture);
