import { sshCases } from './ssh-cases.ts';

sshCases('stand-in');
