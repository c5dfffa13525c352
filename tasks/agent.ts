/** The pipeline agent as the tasks see it: inputs in, log and outputs out. `azure.ts` is its thin adapter. */
import type { HttpProxy } from '../ports/http-proxy.ts';
import type { Secret } from '../ports/secret.ts';

/** A service connection that an input points to. */
export interface Connection {
  name: string;
  url: string;
  /** A part of its authentication; masked in the log. */
  secret(key: string): Secret | undefined;
  data(key: string): string | undefined;
}

/** How the agent was told to reach the network. */
export interface AgentNetwork {
  proxy: HttpProxy | undefined;
  /** PEM. */
  caFile: string | undefined;
}

export interface Issue {
  code?: string | undefined;
  message: string;
}

export interface PipelineAgent {
  /** The trimmed value, undefined when empty. Throws NC5001 when a variable in it was never set. */
  input(name: string): string | undefined;
  required(name: string): string;
  connection(inputName: string): Connection | undefined;
  /** Of an input that takes several, separated by commas: each once, in their order. */
  connections(inputName: string): readonly Connection[];
  variable(name: string): string | undefined;
  /** The token of the running job, for the service's own REST interface. */
  accessToken(): Secret | undefined;
  /** Throws NC5007 when it cannot be read. */
  network(): AgentNetwork;
  setOutput(name: string, value: string): void;
  mask(secret: Secret): void;
  /** One line of the log. Text from elsewhere is made harmless here and nowhere else. */
  line(text: string): void;
  group(title: string): void;
  endGroup(): void;
  error(issue: Issue): void;
  warning(issue: Issue): void;
  progress(percent: number, text: string): void;
  attach(type: string, name: string, path: string): void;
  summary(path: string): void;
  complete(result: 'Succeeded' | 'Failed' | 'Cancelled', message: string): void;
}
