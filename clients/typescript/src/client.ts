/** The client: where the server is, who asks, and the resources. */

import { Audit, Keys, Tenant, Usage, Users } from "./account.js";
import { Albums } from "./albums.js";
import { call, type Fields } from "./calls.js";
import { Collections } from "./collections.js";
import { Events, Webhooks } from "./events.js";
import type { MeOut, SignupOut } from "./models.js";
import { Recognition } from "./recognition.js";
import type { Abortable } from "./signals.js";
import { Subjects } from "./subjects.js";
import { Transport, type Connection } from "./transport.js";
import { Videos } from "./videos.js";

export interface RequestOptions extends Abortable {
  readonly query?: Fields;
  /** A JSON body. */
  readonly body?: unknown;
  /** Sending it twice does no harm. */
  readonly canRepeat?: boolean;
}

/**
 * A Vultus server, asked with an API key, with a token, or with a user's email and password.
 *
 * With email and password, it signs in when needed and refreshes its token. One client serves all requests of a
 * program.
 */
export class Vultus extends Recognition {
  readonly albums: Albums;
  readonly audit: Audit;
  readonly collections: Collections;
  readonly events: Events;
  readonly keys: Keys;
  readonly subjects: Subjects;
  readonly tenant: Tenant;
  readonly usage: Usage;
  readonly users: Users;
  readonly videos: Videos;
  readonly webhooks: Webhooks;

  constructor(url: string | URL, connection: Connection = {}) {
    const transport = new Transport(url, connection);
    super(transport);
    this.albums = new Albums(transport);
    this.audit = new Audit(transport);
    this.collections = new Collections(transport);
    this.events = new Events(transport);
    this.keys = new Keys(transport);
    this.subjects = new Subjects(transport);
    this.tenant = new Tenant(transport);
    this.usage = new Usage(transport);
    this.users = new Users(transport);
    this.videos = new Videos(transport);
    this.webhooks = new Webhooks(transport);
  }

  /** Creates a tenant with this client's email and password as its first admin, where the server allows it. */
  async signUp(tenant: string, options: Abortable = {}): Promise<SignupOut> {
    const { email, password } = this.transport.session.given;
    if (email === undefined) throw new TypeError("signUp needs a client with email and password");
    const sent = { body: { tenant, email, password }, isPublic: true };
    return this.transport.send(call("POST", "/auth/signup", sent), options);
  }

  /** Returns who asks, with which permissions. */
  async me(options: Abortable = {}): Promise<MeOut> {
    return this.transport.send(call("GET", "/auth/me"), options);
  }

  /** Sends a request to a route that has no method here; `path` follows `/api/v1`. Returns the decoded answer. */
  async request(method: string, path: string, { signal, ...more }: RequestOptions = {}): Promise<unknown> {
    return this.transport.send(call(method.toUpperCase(), path, more), { signal });
  }
}
