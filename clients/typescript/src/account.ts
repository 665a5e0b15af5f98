/** The tenant: its keys, users, usage, audit trail and policy. */

import { body, call, path } from "./calls.js";
import type {
  AuditEntryOut,
  IssuedKeyOut,
  KeyOut,
  PolicyBody,
  Role,
  Scope,
  TenantOut,
  UsageDayOut,
  UserOut,
} from "./models.js";
import type { Time } from "./recognition.js";
import type { Abortable } from "./signals.js";
import { Resource } from "./transport.js";

export interface IssueKeyOptions extends Abortable {
  /** The only collections that the key reaches. */
  readonly collections?: readonly string[];
  readonly expiresAt?: Time;
}

export interface ListUsageOptions extends Abortable {
  /** The first day, as YYYY-MM-DD. */
  readonly since?: string;
  /** The day after the last one, as YYYY-MM-DD. */
  readonly before?: string;
}

export interface ListAuditOptions extends Abortable {
  readonly action?: string;
  readonly actor?: string;
  readonly collection?: string;
  readonly subject?: string;
  readonly since?: Time;
  readonly before?: Time;
}

/** API keys for programs. */
export class Keys extends Resource {
  /** Creates a key. The answer has the key itself, once. */
  async issue(name: string, scopes: readonly Scope[], options: IssueKeyOptions = {}): Promise<IssuedKeyOut> {
    const { signal, collections, expiresAt } = options;
    const sent = body({ name, scopes, collections, expires_at: expiresAt });
    return this.transport.send(call("POST", "/keys", { body: sent }), { signal });
  }

  /** Yields all keys. */
  list(options: Abortable = {}): AsyncGenerator<KeyOut, void, undefined> {
    return this.transport.pages(call("GET", "/keys"), options);
  }

  /** Creates the successor of a key, which stays valid until it is revoked. */
  async rotate(keyId: string, options: Abortable = {}): Promise<IssuedKeyOut> {
    return this.transport.send(call("POST", path("keys", keyId, "rotate")), options);
  }

  /** Ends a key at once. */
  async revoke(keyId: string, options: Abortable = {}): Promise<void> {
    await this.transport.send(call("DELETE", path("keys", keyId)), options);
  }
}

/** Logins of people. */
export class Users extends Resource {
  /** Adds a user. */
  async add(email: string, password: string, role: Role, options: Abortable = {}): Promise<UserOut> {
    return this.transport.send(call("POST", "/users", { body: { email, password, role } }), options);
  }

  /** Yields all users. */
  list(options: Abortable = {}): AsyncGenerator<UserOut, void, undefined> {
    return this.transport.pages(call("GET", "/users"), options);
  }

  /** Changes what a user may do, from the next request on. */
  async setRole(userId: string, role: Role, options: Abortable = {}): Promise<UserOut> {
    return this.transport.send(call("PATCH", path("users", userId), { body: { role }, canRepeat: true }), options);
  }

  /** Removes a user. */
  async remove(userId: string, options: Abortable = {}): Promise<void> {
    await this.transport.send(call("DELETE", path("users", userId)), options);
  }
}

/** How much the tenant used, by day. */
export class Usage extends Resource {
  /** Yields calls and images by day, permission and caller. */
  list({ signal, ...query }: ListUsageOptions = {}): AsyncGenerator<UsageDayOut, void, undefined> {
    return this.transport.pages(call("GET", "/usage", { query }), { signal });
  }
}

/** The audit trail. */
export class Audit extends Resource {
  /** Yields entries. */
  list({ signal, ...query }: ListAuditOptions = {}): AsyncGenerator<AuditEntryOut, void, undefined> {
    return this.transport.pages(call("GET", "/audit", { query }), { signal });
  }
}

/** The tenant itself: plan, quotas and policy. */
export class Tenant extends Resource {
  /** Returns the tenant with its plan and what it used of its quotas. */
  async get(options: Abortable = {}): Promise<TenantOut> {
    return this.transport.send(call("GET", "/tenant"), options);
  }

  /** Returns whether consent is required, and how long people are kept. */
  async policy(options: Abortable = {}): Promise<PolicyBody> {
    return this.transport.send(call("GET", "/policy"), options);
  }

  /** Sets the policy; shortening `retention_days` erases people. */
  async setPolicy(policy: PolicyBody, options: Abortable = {}): Promise<PolicyBody> {
    return this.transport.send(call("PUT", "/policy", { body: policy }), options);
  }
}
