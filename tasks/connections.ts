/** Service connections by the input that names them, and their parts, masked as they are read. */
import { CodedError } from '../ports/errors.ts';
import type { Secret } from '../ports/secret.ts';
import type { Connection, PipelineAgent } from './agent.ts';

/** @throws CodedError NC5003 when the input names none. */
export function mustConnect(agent: PipelineAgent, input: string): Connection {
  const found = agent.connection(input);
  if (found === undefined)
    throw new CodedError('NC5003', `The input "${input}" names no service connection.`);
  return found;
}

/** At least one. @throws CodedError NC5003 when the input names none. */
export function mustConnectAll(agent: PipelineAgent, input: string): readonly Connection[] {
  const found = agent.connections(input);
  if (found.length === 0) throw new CodedError('NC5003', `The input "${input}" names no service connection.`);
  return found;
}

/** @throws CodedError NC5004 when the connection lacks it. */
export function secretPart(agent: PipelineAgent, connection: Connection, key: string): Secret {
  const found = connection.secret(key);
  if (found === undefined)
    throw new CodedError('NC5004', `The service connection "${connection.name}" has no ${key}.`);
  agent.mask(found);
  return found;
}
