import { realDns } from '../../../../lab/servers/dns/dns.ts';
import { zoneCases } from './zone-cases.ts';

if (realDns()) zoneCases('real');
