/** Reaches what Node has and a browser lacks, without a line that a browser or a bundler would load. */

interface FileEntry {
  readonly name: string;
  isDirectory(): boolean;
  isFile(): boolean;
}

interface FileSystem {
  readFile(path: string | URL): Promise<Uint8Array<ArrayBuffer>>;
  readdir(path: string | URL, options: { withFileTypes: true }): Promise<FileEntry[]>;
}

interface Files {
  openAsBlob?(path: string | URL): Promise<Blob>;
}

/** Returns the file system. Throws `TypeError` in a browser. */
async function fileSystem(): Promise<FileSystem> {
  return load<FileSystem>("node:fs/promises");
}

async function load<T>(name: string): Promise<T> {
  if (!("process" in globalThis)) throw new TypeError("a path works in Node only: give a File or a Blob");
  return (await import(/* webpackIgnore: true */ /* @vite-ignore */ name)) as T;
}

/** Returns the content of a file. */
export async function readFile(path: string | URL): Promise<Blob> {
  return new Blob([await (await fileSystem()).readFile(path)]);
}

/** Returns a file that is read while it is sent, where Node can do that (20 and later). */
export async function openFile(path: string | URL): Promise<Blob> {
  const { openAsBlob } = await load<Files>("node:fs");
  return openAsBlob === undefined ? readFile(path) : openAsBlob(path);
}

/** Yields the paths of the files below a directory, sorted, with `/` between their parts. */
export async function* walk(directory: string, below = ""): AsyncGenerator<string> {
  const entries = await (await fileSystem()).readdir(`${directory}/${below}`, { withFileTypes: true });
  for (const entry of entries.sort((one, other) => (one.name < other.name ? -1 : 1))) {
    if (entry.isDirectory()) yield* walk(directory, `${below}${entry.name}/`);
    else if (entry.isFile()) yield below + entry.name;
  }
}

/** Returns the Web Crypto API, which Node 18 keeps in a module. */
export async function webCrypto(): Promise<Crypto> {
  const found = globalThis.crypto as Crypto | undefined;
  return found ?? (await load<{ webcrypto: Crypto }>("node:crypto")).webcrypto;
}

/** Returns a random UUID, also on pages without https, where browsers have no `randomUUID`. */
export async function randomId(): Promise<string> {
  const bytes = (await webCrypto()).getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
