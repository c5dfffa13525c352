/** The environment that the agent gives to a task's process (facts/azure-pipelines.md). */
import type { ResolvedInputs } from './task-inputs.ts';
import { environmentName, type Variables } from './variables.ts';

export interface TaskVariable {
  value: string;
  secret: boolean;
}

/** What a task needs from the machine to start at all; everything else comes from the run. */
const INHERITED = [
  'PATH',
  'HOME',
  'USER',
  'LOGNAME',
  'SHELL',
  'LANG',
  'LC_ALL',
  'TZ',
  'TMPDIR',
  'SYSTEMROOT',
  'TEMP',
];
/** Authorisation parameters that the agent knows not to be secret. */
const OPEN_PARAMETERS = [
  'url',
  'scope',
  'role',
  'tenantid',
  'audience',
  'authenticationtype',
  'expiresat',
  'issuedat',
];

export function isSecretParameter(name: string): boolean {
  return !OPEN_PARAMETERS.includes(name.toLowerCase());
}

export function taskEnvironment(
  inputs: ResolvedInputs,
  variables: Variables,
  taskVariables: ReadonlyMap<string, TaskVariable>,
  env: Readonly<Record<string, string>>,
): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const name of INHERITED) {
    const value = process.env[name];
    if (value !== undefined) environment[name] = value;
  }
  for (const [name, value] of Object.entries(inputs.values)) {
    environment[`INPUT_${environmentName(name)}`] = value.trim();
  }
  for (const endpoint of inputs.endpoints) {
    const { id, url, scheme, authParameters } = endpoint;
    environment[`ENDPOINT_URL_${id}`] = url;
    environment[`ENDPOINT_AUTH_${id}`] = JSON.stringify({ parameters: authParameters, scheme });
    environment[`ENDPOINT_AUTH_SCHEME_${id}`] = scheme;
    for (const [key, value] of Object.entries(authParameters)) {
      environment[`ENDPOINT_AUTH_PARAMETER_${id}_${environmentName(key)}`] = value;
    }
    for (const [key, value] of Object.entries(endpoint.data ?? {})) {
      environment[`ENDPOINT_DATA_${id}_${environmentName(key)}`] = value;
    }
  }
  const all = variables.list();
  for (const { name, value, secret } of all) {
    environment[secret ? `SECRET_${environmentName(name)}` : environmentName(name)] = value;
  }
  environment['VSTS_PUBLIC_VARIABLES'] = JSON.stringify(
    all.filter((one) => !one.secret).map((one) => one.name),
  );
  environment['VSTS_SECRET_VARIABLES'] = JSON.stringify(
    all.filter((one) => one.secret).map((one) => one.name),
  );
  for (const [name, { value }] of taskVariables)
    environment[`VSTS_TASKVARIABLE_${environmentName(name)}`] = value;
  return { ...environment, ...env };
}
