/** What one check of `doctor` says. */
export interface Finding {
  level: 'ok' | 'warning' | 'wrong';
  says: string;
  /** What a person can do. */
  remedy?: string;
}

export const ok = (says: string): Finding => ({ level: 'ok', says });
export const warning = (says: string, remedy: string): Finding => ({ level: 'warning', says, remedy });
export const wrong = (says: string, remedy: string): Finding => ({ level: 'wrong', says, remedy });
