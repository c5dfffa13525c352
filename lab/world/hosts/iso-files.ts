/** What a guest reads from its seed: the files in the root of an ISO 9660 image, by their Joliet names. */

const SECTOR = 2048;
const FIRST_DESCRIPTOR = 16;
const SUPPLEMENTARY = 2;
const TERMINATOR = 255;
const FOLDER_FLAG = 2;

/** Name → text. Throws when the image has no Joliet tree. */
export function isoFiles(image: Buffer): Map<string, string> {
  let at = FIRST_DESCRIPTOR * SECTOR;
  while (image[at] !== SUPPLEMENTARY) {
    if (image[at] === TERMINATOR || at + SECTOR >= image.length)
      throw new Error('no Joliet names on this image');
    at += SECTOR;
  }
  const root = image.readUInt32LE(at + 156 + 2) * SECTOR;
  const files = new Map<string, string>();
  for (let entry = root; (image[entry] ?? 0) > 0; entry += image[entry] ?? 0) {
    if (((image[entry + 25] ?? 0) & FOLDER_FLAG) !== 0) continue;
    const id = Buffer.from(image.subarray(entry + 33, entry + 33 + (image[entry + 32] ?? 0)));
    const name = id.swap16().toString('utf16le').replace(/;1$/, '');
    const start = image.readUInt32LE(entry + 2) * SECTOR;
    files.set(name, image.toString('utf8', start, start + image.readUInt32LE(entry + 10)));
  }
  return files;
}
