import { findProgram } from '../../lab/servers/proxy/child.ts';
import { sshCases } from './ssh-cases.ts';

if (findProgram('sshd')) sshCases('real');
