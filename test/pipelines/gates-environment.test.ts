import { describeGates } from './gate-table.ts';

describeGates('environment');
