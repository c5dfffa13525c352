/** Windows paths ignore case and take both slashes. The scripts look at real paths again, links resolved. */
export function isBelow(path: string, folder: string): boolean {
  const plain = (text: string) => `${text.replaceAll('\\', '/').toLowerCase().replace(/\/+$/, '')}/`;
  return plain(path).startsWith(plain(folder));
}
