/** Keeps what says who asks: an API key, a token that is refreshed, or a login. */

import { call, type Call } from "./calls.js";
import { ApiError, ConnectionLost } from "./errors.js";
import type { TokenOut } from "./models.js";

/** Who asks: one of an API key, a token, or an email with its password; none for public routes alone. */
export interface Credentials {
  /** An API key. Keep it out of pages that others load. */
  readonly apiKey?: string;
  /** An access token, or a function that fetches one, such as from your own server. It is asked again after a 401. */
  readonly token?: string | (() => string | Promise<string>);
  /** Refreshes `token`. It works once: `onTokens` gets its successor. */
  readonly refreshToken?: string;
  readonly email?: string;
  readonly password?: string;
  /** Returns a code of the user's second factor, or a recovery code, where the login needs one. */
  readonly secondFactor?: () => string | Promise<string>;
  /** Called with the new tokens after each sign-in and refresh, so that a program can keep them. */
  readonly onTokens?: (tokens: TokenOut) => void;
}

/** A token is replaced this long before it expires. */
const EARLY_MS = 30_000;

export class Session {
  private token: string | undefined;
  private refreshToken: string | undefined;
  private validUntil = Infinity;
  private renewing: Promise<void> | undefined;

  constructor(
    readonly given: Credentials,
    private readonly obtain: (call: Call) => Promise<unknown>,
  ) {
    const ways = [given.apiKey, given.token, given.email].filter((one) => one !== undefined);
    if (ways.length > 1 || (given.email === undefined) !== (given.password === undefined)) {
      throw new TypeError("give an apiKey, a token, or an email with its password");
    }
    if (given.refreshToken !== undefined && typeof given.token !== "string") {
      throw new TypeError("refreshToken needs its token");
    }
    this.token = given.apiKey ?? (typeof given.token === "string" ? given.token : undefined);
    this.refreshToken = given.refreshToken;
  }

  /** Returns the token to send, or undefined; signs in, or refreshes the token, before it expires. */
  async authorize(): Promise<string | undefined> {
    if (this.canRenew() && (this.token === undefined || Date.now() > this.validUntil)) {
      this.renewing ??= this.renew().finally(() => (this.renewing = undefined));
      await this.renewing;
    }
    return this.token;
  }

  /** Drops a token that the server does not take, unless it was replaced. Returns whether there can be another. */
  forget(used: string): boolean {
    if (!this.canRenew()) return false;
    if (this.token === used) this.token = undefined;
    return true;
  }

  private canRenew(): boolean {
    return this.refreshToken !== undefined || this.given.email !== undefined || typeof this.given.token === "function";
  }

  private async renew(): Promise<void> {
    if (typeof this.given.token === "function") {
      this.token = await this.given.token();
      return;
    }
    const tokens = (await this.refresh()) ?? (await this.signIn());
    this.token = tokens.access_token;
    this.refreshToken = tokens.refresh_token;
    this.validUntil = Date.now() + Math.max(0, tokens.expires_in * 1000 - EARLY_MS);
    this.given.onTokens?.(tokens);
  }

  private async signIn(): Promise<TokenOut> {
    const { email = "", password = "", secondFactor } = this.given;
    const form = new URLSearchParams({ username: email, password });
    if (secondFactor !== undefined) form.append("code", await secondFactor());
    return (await this.obtain(call("POST", "/auth/token", { form, isPublic: true, canRepeat: true }))) as TokenOut;
  }

  /** Returns new tokens, or null where a password can be used in place of a refresh token that is no longer valid. */
  private async refresh(): Promise<TokenOut | null> {
    if (this.refreshToken === undefined) return null;
    const sent = { refresh_token: this.refreshToken };
    try {
      return (await this.obtain(call("POST", "/auth/refresh", { body: sent, isPublic: true }))) as TokenOut;
    } catch (error) {
      const isOver = error instanceof ApiError || error instanceof ConnectionLost;
      if (!isOver || this.given.email === undefined) throw error;
      this.refreshToken = undefined; // each one works once, and this one may be used
      return null;
    }
  }
}
