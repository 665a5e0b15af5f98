// Does what programs do with the TypeScript client, and prints what came of it as one JSON document.
//
//   node built/checks.js CHECK [ARGUMENT]
//
// The server is in VULTUS_URL, a key in VULTUS_API_KEY, a login in VULTUS_EMAIL and VULTUS_PASSWORD.

import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { pathToFileURL } from "node:url";

import { ApiError, ConnectionLost, problems, verifyWebhook, Vultus, WebhookRefused } from "vultus-client";
import type { Connection, models, Photo } from "vultus-client";

const [check = "", argument = ""] = process.argv.slice(2);
const { VULTUS_URL: url = "", VULTUS_API_KEY: apiKey = "", VULTUS_EMAIL: email = "" } = process.env;
const password = process.env["VULTUS_PASSWORD"] ?? "";

interface Sent {
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly headers: Headers;
}

/** A client that notes its requests. `lose` says of which answers the client is to see nothing. */
function recording(more: Connection = {}, lose: (sent: Sent) => boolean = () => false): [Vultus, Sent[]] {
  const all: Sent[] = [];
  const note: typeof fetch = async (address, options) => {
    const response = await fetch(address, options);
    const path = new URL(String(address)).pathname.replace("/api/v1", "");
    const headers = new Headers(options?.headers);
    const sent = { method: options?.method ?? "", path, status: response.status, headers };
    all.push(sent);
    if (lose(sent)) {
      await response.arrayBuffer();
      throw new TypeError("the answer was lost");
    }
    return response;
  };
  const key = "email" in more ? {} : { apiKey };
  return [new Vultus(url, { ...key, ...more, fetch: note }), all];
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** What a promise throws, by its name. */
async function failure(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return "none";
  } catch (error) {
    return error instanceof Error ? error.name : String(error);
  }
}

async function people(): Promise<unknown> {
  const [vultus] = recording();
  const bytes = await readFile(`${argument}/known.jpg`);
  const content = new Uint8Array(bytes);
  const sources: Photo[] = [
    `${argument}/known.jpg`,
    pathToFileURL(`${argument}/known.jpg`),
    bytes,
    content.buffer,
    new Blob([content]),
    new File([content], "known.jpg"),
  ];
  const registered: models.RegisterOut = await vultus.register("emp-1042", sources.slice(0, 2), {
    name: "Ada Acker",
    metadata: { team: 7 },
    expiresAt: new Date(Date.now() + 86_400_000),
  });
  const again = `${argument}/again.jpg`;
  const { faces } = await vultus.recognize(again, { limit: 1 });
  const batch = await vultus.recognizeBatch([again, `${argument}/empty.jpg`, new Blob(["no photo"])]);
  const extracted = await vultus.extract(await readFile(again));
  const found = await vultus.search(extracted.faces[0]?.embedding ?? [], { recognizer: extracted.recognizer });
  return {
    detected: await Promise.all(sources.map(async (one) => (await vultus.detect(one)).faces.length)),
    templates: registered.templates.map(({ index }) => index),
    recognized: faces.map(({ candidates }) => candidates.map(({ subject, name }) => [subject, name])),
    batch: batch.items.map(({ answer, problem }) => problem?.code ?? answer?.faces.length),
    verified: (await vultus.verify("emp-1042", again)).decision,
    compared: (await vultus.compareBatch(again, [again, `${argument}/known.jpg`])).items.length,
    found: found.candidates.map(({ subject }) => subject),
    metadata: (await vultus.subjects.get("emp-1042")).metadata,
    listed: (await collect(vultus.subjects.list({ q: "ada", metadata: { team: 7 } }))).map(({ subject }) => subject),
    mixed: await failure(vultus.register("emp-1", ["https://photos.example.com/1.jpg", again])),
    byUrl: await failure(vultus.recognize(new URL("https://photos.example.com/1.jpg"))),
    erased: (await vultus.subjects.delete("emp-1042")).receipt["action"],
  };
}

async function pages(): Promise<unknown> {
  const [vultus, sent] = recording();
  const ids = Array.from({ length: 210 }, (_, index) => `emp-${String(index).padStart(3, "0")}`);
  for (const id of ids) await vultus.subjects.create(id);
  const before = sent.length;
  const read = (await collect(vultus.subjects.list())).map(({ subject }) => subject);
  const requests = sent.length - before;
  let first = "";
  for await (const { subject } of vultus.subjects.list()) {
    first = subject;
    break;
  }
  const isComplete = JSON.stringify(read) === JSON.stringify(ids);
  return { isComplete, requests, first, early: sent.length - before - requests };
}

async function album(): Promise<unknown> {
  const [vultus, sent] = recording();
  await vultus.albums.create("party");
  const stop = new AbortController();
  const first: string[] = [];
  const interrupted = await failure(
    vultus.albums.upload("party", argument, {
      atOnce: 1,
      signal: stop.signal,
      onProgress: ({ externalId, done }) => {
        first.push(externalId);
        if (done === 3) stop.abort();
      },
    }),
  );
  const progress: [number, number][] = [];
  const resumed = await vultus.albums.upload("party", argument, {
    onProgress: ({ done, total }) => progress.push([done, total]),
  });
  const puts = sent.filter(({ method }) => method === "PUT").map(({ path }) => decodeURIComponent(path));
  const refused = await vultus.albums.upload("party", new Map([["empty.jpg", new Blob([])]]));
  const names = (await collect(vultus.albums.watch("party"))).map(({ name }) => name);
  const counts = (await vultus.albums.wait("party", { timeoutS: 60 })).photos;
  const found = await vultus.albums.search("party", process.env["SELFIE"] ?? "", { decision: "match" });
  return {
    interrupted,
    first,
    second: [...resumed.sent].sort(),
    skipped: resumed.skipped,
    progress,
    puts: puts.sort(),
    refused: [...refused.refused].map(([id, { code }]) => [id, code]),
    last: names.at(-1),
    done: counts.done,
    found: found.items.map(({ external_id }) => external_id).sort(),
  };
}

async function rate(): Promise<unknown> {
  const statuses: number[] = [];
  for (const tenant of ["a", "b", "c"]) {
    const [vultus, requests] = recording({ email: `${tenant}-${email}`, password });
    await vultus.signUp(tenant);
    statuses.push(...requests.map(({ status }) => status));
  }
  const [hasty] = recording({ email: `d-${email}`, password, retries: { count: 0 } });
  let retryAfterS = -1;
  for (let tries = 0; tries < 5; tries++) {
    try {
      await hasty.me();
    } catch (error) {
      if (error instanceof problems.TooManyRequests) retryAfterS = error.retryAfterS ?? -1;
    }
  }
  const stop = new AbortController();
  const [patient] = recording({ email: `d-${email}`, password }, ({ status }) => {
    if (status === 429) stop.abort(); // it would wait now
    return false;
  });
  const failures: string[] = [];
  for (let tries = 0; tries < 5; tries++) failures.push(await failure(patient.me({ signal: stop.signal })));
  return { statuses, retryAfterS, aborted: failures.at(-1) };
}

async function errors(): Promise<unknown> {
  const [vultus] = recording();
  const missing = await vultus.subjects.get("nobody").catch((error: unknown) => error);
  if (!(missing instanceof problems.SubjectNotFound)) throw missing;
  const invalid = await vultus.recognize(new Blob(["x"]), { limit: -1 }).catch((error: unknown) => error);
  if (!(invalid instanceof ApiError)) throw invalid;
  const page = await fetch(missing.remedyUrl ?? "");
  const [id] = (missing.remedyUrl ?? "").split("#").slice(-1);
  const away = new Vultus("http://127.0.0.1:9", { apiKey, retries: { count: 1 } });
  const lost = await away.me().catch((error: unknown) => error);
  return {
    missing: { code: missing.code, status: missing.status, name: missing.name, hasId: missing.requestId !== null },
    isNotFound: missing instanceof problems.NotFound,
    remedy: (await page.text()).includes(`id="${id}"`),
    invalid: [invalid.status, invalid.fields.map(({ field }) => field)],
    unauthorized: await failure(new Vultus(url, { apiKey: "vk_wrong" }).me()),
    isLost: lost instanceof ConnectionLost,
    twoWays: await failure((async () => new Vultus(url, { apiKey, token: "t" }))()),
  };
}

async function logins(): Promise<unknown> {
  const obtained: models.TokenOut[] = [];
  const onTokens = (tokens: models.TokenOut): void => void obtained.push(tokens);
  const [byPassword, sent] = recording({ email, password, onTokens });
  const [first] = await Promise.all([byPassword.me(), byPassword.me()]);
  const refreshToken = obtained[0]?.refresh_token ?? "";
  const byToken = new Vultus(url, { token: "expired", refreshToken, onTokens });
  let asked = 0;
  const byFunction = new Vultus(url, {
    token: async () => ((asked += 1) === 1 ? "expired" : (obtained.at(-1)?.access_token ?? "")),
  });
  return {
    me: [first.email, (await byToken.me()).email, (await byFunction.me()).email],
    signIns: sent.filter(({ path }) => path === "/auth/token").length,
    tokens: obtained.length,
    asked,
  };
}

async function repeats(): Promise<unknown> {
  let lost = 0;
  const [vultus, sent] = recording({}, ({ method }) => method !== "GET" && lost++ === 0);
  await vultus.register("emp-1", `${argument}/known.jpg`);
  const keys = new Set(sent.map(({ headers }) => headers.get("idempotency-key")));
  const [careful, once] = recording({}, ({ path }) => path === "/keys");
  const issued = await failure(careful.keys.issue("door", ["recognize"]));
  const [erasing] = recording({}, ({ method }) => method === "DELETE" && lost++ === 2);
  await erasing.subjects.delete("emp-1");
  return { statuses: sent.map(({ status }) => status), keys: keys.size, issued, tries: once.length };
}

async function events(): Promise<unknown> {
  const [vultus] = recording();
  const stop = new AbortController();
  const types: string[] = [];
  setTimeout(() => void vultus.subjects.create("emp-2"), 500);
  await vultus.subjects.create("emp-1");
  const following = (async () => {
    for await (const event of vultus.events.follow({ signal: stop.signal, types: ["subject.created"] })) {
      types.push(`${event.type} ${String(event.data["subject"])}`);
      if (types.length === 2) stop.abort();
    }
  })();
  return { ended: await failure(following), types, listed: (await vultus.events.list()).items.length };
}

async function aborts(): Promise<unknown> {
  const silent = new Vultus(argument, { apiKey, timeoutS: 600 });
  const stop = new AbortController();
  setTimeout(() => stop.abort(new Error("enough")), 200);
  const brief = new Vultus(argument, { apiKey, timeoutS: 0.2, retries: { count: 1 } });
  const deadline = new Vultus(argument, { apiKey, timeoutS: 0.2, retries: { count: 1_000_000, deadlineS: 1 } });
  const reason = await silent.me({ signal: stop.signal }).catch((error: unknown) => String(error));
  return {
    reason,
    before: await failure(silent.subjects.list({ signal: stop.signal }).next()),
    standard: await failure(silent.detect(new Blob(["x"]), { signal: AbortSignal.timeout(100) })),
    timeout: await failure(brief.me()),
    deadline: await failure(deadline.me()),
  };
}

async function webhooks(): Promise<unknown> {
  interface Message {
    readonly secret: string;
    readonly headers: Record<string, string>;
    readonly body: string;
  }
  const results: string[] = [];
  for (const { secret, headers, body } of JSON.parse(await text(process.stdin)) as Message[]) {
    for (const given of [headers, new Headers(Object.entries(headers))]) {
      for (const content of [body, new TextEncoder().encode(body)]) {
        try {
          results.push((await verifyWebhook(secret, given, content)).type);
        } catch (error) {
          if (!(error instanceof WebhookRefused)) throw error;
          results.push("refused");
        }
      }
    }
  }
  return results;
}

const checks: Record<string, () => Promise<unknown>> = {
  people,
  pages,
  album,
  rate,
  errors,
  logins,
  repeats,
  events,
  aborts,
  webhooks,
};
console.log(JSON.stringify(await checks[check]?.()));
