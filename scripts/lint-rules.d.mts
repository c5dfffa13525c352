import type { Rule } from 'eslint';

export const designRules: { rules: { arrows: Rule.RuleModule; wire: Rule.RuleModule } };
