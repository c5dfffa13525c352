import { proxyCases } from './proxy-cases.ts';

proxyCases('stand-in');
