/** Reservations over HTTP, for a service of the operator's own: paths, methods and field names are configuration. */
import { CodedError } from '../../../ports/errors.ts';
import type { Http } from '../../../ports/ports.ts';
import type { Secret } from '../../../ports/secret.ts';
import type { WebhookConfig } from '../../config/schema-addresses.ts';
import { clean, macAs, readReservation, type Reservation, type ReservationService } from './service.ts';

export interface WebhookOptions {
  http: Http;
  service: WebhookConfig;
  /** Sent as a bearer token; none when absent. */
  token: Secret | undefined;
}

/** More than any reservation needs: a page of an error that a proxy answers with. */
const LONGEST_ANSWER_BYTES = 64 * 1024;
/** For now, and not because of what was asked: worth asking again. */
const PASSING: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504]);

interface Asked {
  status: number;
  text: string;
  where: string;
}

export function webhookReservations({ http, service, token }: WebhookOptions): ReservationService {
  const { fields } = service;
  const hidden = (text: string) => clean(token === undefined ? text : text.replaceAll(token.reveal(), '***'));

  const ask = async (
    method: string,
    path: string,
    body: Record<string, string> | undefined,
    signal: AbortSignal,
  ): Promise<Asked> => {
    const url = `${service.url.replace(/\/+$/, '')}${path}`;
    const response = await http({
      method,
      url,
      headers: {
        accept: 'application/json',
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(token === undefined ? {} : { authorization: `Bearer ${token.reveal()}` }),
      },
      body: body === undefined ? undefined : JSON.stringify(body),
      tls: service.certificate === undefined ? undefined : { pinSha256: service.certificate.toLowerCase() },
      deadlineMs: service.deadlineSeconds * 1000,
      signal,
    });
    const where = `${method} ${url}`;
    const text = await readText(response.body, where);
    const { status } = response;
    if (PASSING.has(status))
      throw new CodedError('NC4080', `${where}: status ${status}.`, [hidden(text)].filter(Boolean));
    return { status, text, where };
  };
  const refused = ({ status, text, where }: Asked) =>
    new CodedError('NC4081', `${where}: status ${status}.`, [hidden(text)].filter(Boolean));
  const found = ({ text, where }: Asked): unknown => {
    try {
      return JSON.parse(text);
    } catch {
      throw new CodedError('NC4082', `${where}: expected JSON, found ${hidden(text) || 'nothing'}.`);
    }
  };

  const lookUp = async (
    path: string,
    name: string,
    signal: AbortSignal,
  ): Promise<Reservation | undefined> => {
    const asked = await ask('GET', fill(path, { name }), undefined, signal);
    if (asked.status === 404 || asked.status === 204) return undefined;
    if (asked.status !== 200) throw refused(asked);
    const answer = found(asked);
    if (!Array.isArray(answer)) return readReservation(answer, fields, asked.where);
    if (answer.length > 1)
      throw new CodedError('NC4082', `${asked.where}: ${answer.length} reservations of one name.`);
    return answer.length === 0 ? undefined : readReservation(answer[0], fields, asked.where);
  };
  const { find } = service;

  return {
    async reserve(name, signal) {
      const { method, path } = service.reserve;
      const asked = await ask(method, fill(path, { name }), nested(fields.name, name), signal);
      const there = asked.status === 409;
      if (!there && (asked.status < 200 || asked.status > 299)) throw refused(asked);
      try {
        // Some services answer a conflict with the reservation that is there.
        return readReservation(found(asked), fields, asked.where);
      } catch (error) {
        const known = find === undefined ? undefined : await lookUp(find.path, name, signal);
        if (known !== undefined) return known;
        if (there)
          throw new CodedError('NC4083', `${asked.where}: ${name} has a reservation already.`, [
            hidden(asked.text),
          ]);
        throw error;
      }
    },
    async release(given, signal) {
      const { method, path } = service.release;
      const mac = macAs(service.macForm, given);
      const body = method === 'POST' ? nested(fields.mac, mac) : undefined;
      const asked = await ask(method, fill(path, { mac }), body, signal);
      if (asked.status === 404 || asked.status === 410) return 'notThere';
      if (asked.status < 200 || asked.status > 299) throw refused(asked);
      return 'released';
    },
    find: find && ((name, signal) => lookUp(find.path, name, signal)),
  };
}

function fill(template: string, values: Record<string, string>): string {
  return template.replace(/\{(name|mac)\}/g, (whole, key: string) =>
    values[key] === undefined ? whole : encodeURIComponent(values[key]),
  );
}

/** `lease.mac` is the field mac of the field lease. */
function nested(path: string, value: string): Record<string, string> {
  const [first = '', ...rest] = path.split('.');
  const inner: unknown = rest.length === 0 ? value : nested(rest.join('.'), value);
  return { [first]: inner } as Record<string, string>;
}

async function readText(body: AsyncIterable<Uint8Array>, where: string): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > LONGEST_ANSWER_BYTES)
      throw new CodedError('NC4082', `${where}: more than ${LONGEST_ANSWER_BYTES} bytes.`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
