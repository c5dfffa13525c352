import { zoneCases } from './zone-cases.ts';

zoneCases('stand-in');
