// <upload-photos album>: sends thousands of photos, some at a time, and none that the album has already.
//
// After a reload the person chooses the same files or folder again; what has arrived is skipped.

import { call, make, text } from "../api.js";
import { externalId } from "../external-id.js";

const AT_A_TIME = 4;
const LONGEST_WAIT_S = 900;
const PASSING = [0, 429, 500, 502, 503, 504];
const FINAL = [401, 403, 404, 409];

class UploadPhotos extends HTMLElement {
  connectedCallback() {
    this.path = `/albums/${encodeURIComponent(this.getAttribute("album"))}/photos`;
    this.bar = this.querySelector("progress");
    this.stopButton = this.querySelector(".stop");
    this.stopButton.addEventListener("click", () => this.stop(text("upload.stopped")));
    this.querySelectorAll("input").forEach((input) => input.addEventListener("change", () => {
      this.send([...input.files].filter((one) => one.type.startsWith("image/") || /\.(heic|heif|avif)$/i.test(one.name)));
      input.value = "";
    }));
  }

  async listKnown() {
    const known = new Set();
    for (let cursor = ""; cursor !== null;) {
      const page = await call("GET", `${this.path}?limit=500${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
      page.items.forEach((one) => one.state !== "announced" && known.add(one.external_id));
      cursor = page.next_cursor;
    }
    return known;
  }

  async send(files) {
    if (this.queue || !files.length) return;
    this.queue = [];
    this.reason = "";
    this.querySelector(".refused").replaceChildren();
    this.say(text("upload.looking"));
    try {
      const known = await this.listKnown();
      const chosen = new Map(files.map((file) => [externalId(file), file]));
      const total = chosen.size;
      for (const id of known) chosen.delete(id);
      this.counts = { total, skipped: total - chosen.size, sent: 0, refused: 0 };
      this.queue = [...chosen];
      this.stopButton.hidden = this.bar.hidden = false;
      await Promise.all(Array.from({ length: AT_A_TIME }, () => this.work()));
      this.say([this.reason || text("upload.done"), text("upload.counts", this.counts)].join(" "));
    } catch (problem) {
      this.say(problem.message);
    }
    this.stopButton.hidden = this.bar.hidden = true;
    this.queue = null;
  }

  async work() {
    while (this.queue.length) {
      const [id, file] = this.queue.shift();
      for (let tries = 0; !(await this.sendOne(id, file, tries)); tries += 1);
      this.bar.max = this.counts.total || 1;
      this.bar.value = this.counts.skipped + this.counts.sent + this.counts.refused;
      if (!this.reason) this.say(text("upload.counts", this.counts));
    }
  }

  async sendOne(id, file, tries) {
    await this.pause;
    if (this.reason) return true;
    const form = new FormData();
    form.append("image", file);
    try {
      await call("PUT", `${this.path}/${encodeURIComponent(id)}`, { form });
      this.counts.sent += 1;
    } catch (problem) {
      const waitS = problem.retryAfterS || Math.min(60, 2 ** tries);
      if (PASSING.includes(problem.status) && waitS <= LONGEST_WAIT_S) {
        this.say(text("upload.waiting", { seconds: waitS }));
        this.pause = new Promise((resolve) => setTimeout(resolve, 1000 * waitS));
        return false;
      }
      if (FINAL.includes(problem.status) || PASSING.includes(problem.status)) this.stop(problem.message);
      this.counts.refused += 1;
      this.querySelector(".refused").append(make("li", {}, `${file.name}: ${problem.message}`));
    }
    return true;
  }

  stop(reason) {
    this.reason = reason;
    this.queue.length = 0;
  }

  say(words) {
    this.querySelector(".said").textContent = words;
  }
}

customElements.define("upload-photos", UploadPhotos);
