/**
 * What the page is made of: the run's own record, and what the lab saw around it. Every part that is absent
 * leaves its section out, so that the same page serves a real run's tab.
 */
import type { RunSummary } from '../cycle/record.ts';

export interface ReportData {
  cluster: string;
  outcome: 'succeeded' | 'failed' | 'refused' | 'nothingDue';
  /** One sentence: why it ended so. */
  reason: string;
  /** Milliseconds since 1970, UTC, as all times here. */
  startedMs: number;
  endedMs: number;
  replaced: { old: string; new: string }[];
  run: RunSummary;
  /** The pipeline's stages, when they are known apart from the steps. */
  stages?: ReportStage[] | undefined;
  traffic?: ReportTraffic | undefined;
  vms?: { peak: number; steady: number } | undefined;
  components?: ReportComponent[] | undefined;
  /** What the run was told: option and value. */
  settings?: { name: string; value: string }[] | undefined;
}

export interface ReportStage {
  name: string;
  result: string;
  startedMs: number;
  endedMs: number;
}

export interface ReportComponent {
  name: string;
  real: boolean;
  version: string;
  calls: number;
}

export interface ReportTraffic {
  requests: ReportCounts;
  classes: Record<string, ReportCounts>;
  servedBy: Record<string, number>;
  /** One entry a second, in order. */
  perSecond: { t: number; ok: number; failed: number; p99Ms: number }[];
  failures: { atMs: number; class: string; error: string; target: string }[];
}

export interface ReportCounts {
  total: number;
  failed: number;
  resetOnIdle: number;
  apiRetried: number;
  p50Ms: number;
  p99Ms: number;
}
