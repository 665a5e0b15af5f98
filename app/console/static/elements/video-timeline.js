// <video-timeline>: says what a bar shows, and plays that moment if the person has chosen the file; it is not sent.

class VideoTimeline extends HTMLElement {
  connectedCallback() {
    const player = this.querySelector("video");
    const say = (event) => event.target.dataset.at && (this.querySelector(".said").textContent = event.target.getAttribute("aria-label"));
    const play = (event) => {
      const { at } = event.target.dataset;
      if (!at) return;
      event.preventDefault();
      say(event);
      if (player.hidden) return;
      player.currentTime = at / 1000;
      player.play().catch(() => {});
    };
    this.addEventListener("focusin", say);
    this.addEventListener("pointerover", say);
    this.addEventListener("click", play);
    this.addEventListener("keydown", (event) => [" ", "Enter"].includes(event.key) && play(event));
    this.querySelector("input").addEventListener("change", (event) => {
      if (this.url) URL.revokeObjectURL(this.url);
      const [file] = event.target.files;
      player.hidden = !file;
      if (file) player.src = this.url = URL.createObjectURL(file);
    });
  }

  disconnectedCallback() {
    if (this.url) URL.revokeObjectURL(this.url);
  }
}

customElements.define("video-timeline", VideoTimeline);
