/** The rkestate: what rke makes of the file that it finds, and how it writes it (facts/rke-ran.md, section 6). */
import type { Bundle } from '../certs/bundle.ts';
import type { NodeEntry, RkeConfig } from './config.ts';

export interface ClusterState {
  rkeConfig?: RkeConfig;
  certificatesBundle?: Bundle;
}

export interface RkeState {
  desiredState: ClusterState;
  currentState: ClusterState;
}

/**
 * Undefined for text that does not parse: rke ignores the error and goes on as if there were no state, which on
 * a live cluster means a new CA. `{}` does parse, and ends the run later.
 */
export function readState(text: string): RkeState | undefined {
  try {
    const value = JSON.parse(text) as Partial<RkeState> | null;
    if (value === null || typeof value !== 'object') return undefined;
    return { desiredState: value.desiredState ?? {}, currentState: value.currentState ?? {} };
  } catch {
    return undefined;
  }
}

export function printState(state: RkeState): string {
  return JSON.stringify(state, undefined, 2);
}

export function currentNodes(state: RkeState | undefined): NodeEntry[] {
  return state?.currentState.rkeConfig?.nodes ?? [];
}
