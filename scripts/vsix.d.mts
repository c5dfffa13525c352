export function readVsix(zip: Buffer): Map<string, Buffer>;
