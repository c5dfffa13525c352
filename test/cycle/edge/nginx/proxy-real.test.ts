import { findProgram } from '../../../../lab/servers/proxy/child.ts';
import { realNginx } from '../../../../lab/servers/proxy/nginx.ts';
import { proxyCases } from './proxy-cases.ts';

if (realNginx() && findProgram('sshd')) proxyCases('real');
