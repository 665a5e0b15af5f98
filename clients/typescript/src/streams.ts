/** Reads server-sent events (WHATWG HTML, 9.2.6). */

/** One event: its name, its data, and its id if it has one. */
export interface SentEvent {
  readonly name: string;
  readonly data: string;
  readonly id: string | null;
}

/** Takes text in pieces and returns the events that are complete. */
export class EventParser {
  private rest = "";
  private name = "";
  private data: string[] = [];
  private id: string | null = null;

  feed(text: string): SentEvent[] {
    const lines = (this.rest + text).split(/\r\n|\n|\r(?!$)/);
    this.rest = lines.pop() ?? "";
    return lines.map((line) => this.take(line)).filter((event) => event !== null);
  }

  private take(line: string): SentEvent | null {
    if (line === "") {
      const event = { name: this.name || "message", data: this.data.join("\n"), id: this.id };
      const isEmpty = this.data.length === 0;
      [this.name, this.data, this.id] = ["", [], null];
      return isEmpty ? null : event;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") this.name = value;
    else if (field === "data") this.data.push(value);
    else if (field === "id") this.id = value;
    return null;
  }
}
