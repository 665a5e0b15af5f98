// <webhook-test>: say what the receiver answered to the test message that the form inside sends.

import { announce, text } from "../api.js";

class WebhookTest extends HTMLElement {
  connectedCallback() {
    this.addEventListener("tested", ({ detail: { is_delivered, status, error } }) => {
      const key = is_delivered ? "webhooks.arrived" : "webhooks.refused";
      announce(text(key, { answer: status ?? error ?? "" }), is_delivered ? "info" : "bad");
    });
  }
}
customElements.define("webhook-test", WebhookTest);
