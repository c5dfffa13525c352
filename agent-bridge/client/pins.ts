/** The fingerprints that a service connection names: one, or the old and the new one while the bridge changes its certificate. */
import { CodedError } from '../../ports/errors.ts';

const SHA256 = /^[0-9a-f]{64}$/;
/** Characters of a wrong word that are shown: more than a fingerprint has, less than a certificate pasted here. */
const SHOWN_LENGTH = 100;

/**
 * Lower-case hex, each once. `source`: SHA-256 fingerprints with or without colons, parted by commas or white space.
 * Throws NC2012 for anything else.
 */
export function serverPins(source: string): string[] {
  const words = source.split(/[\s,]+/).filter((word) => word !== '');
  const pins = words.map((word) => word.replaceAll(':', '').toLowerCase());
  const wrong = words.filter((_, at) => !SHA256.test(pins[at] ?? ''));
  if (pins.length === 0) throw new CodedError('NC2012', 'Expected 64 hexadecimal digits, found nothing.');
  if (wrong.length > 0)
    throw new CodedError(
      'NC2012',
      `Expected 64 hexadecimal digits, with or without colons; several parted by commas.`,
      wrong.map(
        (word) =>
          `found ${JSON.stringify(word.slice(0, SHOWN_LENGTH))} (${word.replaceAll(':', '').length} characters)`,
      ),
    );
  return [...new Set(pins)];
}
