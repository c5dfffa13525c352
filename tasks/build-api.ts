/** What the service itself says about a run: whether it has ended. */
import type { Http } from '../ports/ports.ts';
import type { PipelineAgent } from './agent.ts';

const ASK_MS = 15_000;

/** `holder`: organisation/project/pipeline/run. False whenever the service does not say clearly that the run has ended. */
export async function runHasEnded(
  agent: PipelineAgent,
  http: Http,
  holder: string,
  signal: AbortSignal,
): Promise<boolean> {
  const [organisation, project, , run] = holder.split('/');
  const collection = agent.variable('System.CollectionUri')?.replace(/\/$/, '');
  const token = agent.accessToken();
  if (collection === undefined || token === undefined || project === undefined || run === undefined)
    return false;
  // Another organisation's service cannot be asked with this token.
  if (collection.split('/').pop() !== organisation) return false;
  try {
    const response = await http({
      method: 'GET',
      url: `${collection}/${encodeURIComponent(project)}/_apis/build/builds/${encodeURIComponent(run)}?api-version=7.1`,
      headers: { authorization: `Bearer ${token.reveal()}`, accept: 'application/json' },
      deadlineMs: ASK_MS,
      signal,
    });
    const chunks: Uint8Array[] = [];
    for await (const chunk of response.body) chunks.push(chunk);
    if (response.status !== 200) return false;
    const body = JSON.parse(Buffer.concat(chunks).toString('utf8')) as { status?: unknown };
    return body.status === 'completed';
  } catch {
    return false;
  }
}
