/** Return the id of a file in an album: the same whenever the person chooses the file again. */
export function externalId(file) {
  const suffix = `~${file.size}~${file.lastModified}`;
  return file.name.normalize("NFC").replace(/[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/gu, "_").slice(0, 255 - suffix.length) + suffix;
}

/** Return what people call a photo. */
export function photoName(id) {
  return (id || "–").replace(/~\d+~\d+$/, "");
}
