/** Refusals of the API server, as `Status` objects with Kubernetes' own reasons and wording. */

export interface Status {
  kind: 'Status';
  apiVersion: 'v1';
  metadata: Record<string, never>;
  status: 'Failure' | 'Success';
  message?: string;
  reason?: string;
  details?: Record<string, unknown>;
  code: number;
}

/** Thrown inside the handler, answered as its status. */
export class KubeFailure extends Error {
  constructor(
    readonly code: number,
    readonly reason: string,
    message: string,
    readonly details?: Record<string, unknown>,
    readonly headers: Record<string, string> = {},
  ) {
    super(message);
    this.name = 'KubeFailure';
  }

  status(): Status {
    return {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message: this.message,
      reason: this.reason,
      ...(this.details === undefined ? {} : { details: this.details }),
      code: this.code,
    };
  }
}

const qualified = (resource: string, group: string): string =>
  group === '' ? resource : `${resource}.${group}`;

export const failures = {
  notFound: (resource: string, group: string, name: string) =>
    new KubeFailure(404, 'NotFound', `${qualified(resource, group)} "${name}" not found`, {
      name,
      ...(group === '' ? {} : { group }),
      kind: resource,
    }),
  noSuchPath: () => new KubeFailure(404, 'NotFound', 'the server could not find the requested resource', {}),
  alreadyExists: (resource: string, group: string, name: string) =>
    new KubeFailure(409, 'AlreadyExists', `${qualified(resource, group)} "${name}" already exists`, {
      name,
      ...(group === '' ? {} : { group }),
      kind: resource,
    }),
  conflict: (resource: string, group: string, name: string, why?: string) =>
    new KubeFailure(
      409,
      'Conflict',
      `Operation cannot be fulfilled on ${qualified(resource, group)} "${name}": ${
        why ?? 'the object has been modified; please apply your changes to the latest version and try again'
      }`,
      { name, ...(group === '' ? {} : { group }), kind: resource },
    ),
  invalid: (kind: string, name: string, message: string) =>
    new KubeFailure(422, 'Invalid', `${kind} "${name}" is invalid: ${message}`, { name, kind }),
  badRequest: (message: string) => new KubeFailure(400, 'BadRequest', message),
  expired: (message: string) => new KubeFailure(410, 'Expired', message),
  unauthorized: () => new KubeFailure(401, 'Unauthorized', 'Unauthorized'),
  methodNotAllowed: () =>
    new KubeFailure(
      405,
      'MethodNotAllowed',
      'the server does not allow this method on the requested resource',
      {},
    ),
  unsupportedMedia: (type: string) =>
    new KubeFailure(
      415,
      'UnsupportedMediaType',
      `the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json; found ${type}`,
    ),
  storage: () => new KubeFailure(500, 'InternalError', 'etcdserver: request timed out', {}),
  tooManyRequests: (message: string, details: Record<string, unknown>, retryAfterSeconds?: number) =>
    new KubeFailure(
      429,
      'TooManyRequests',
      message,
      { ...details, ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }) },
      retryAfterSeconds === undefined ? {} : { 'retry-after': String(retryAfterSeconds) },
    ),
  internal: (message: string) => new KubeFailure(500, 'InternalError', message, {}),
};
