/** SSH logins to the nodes. */
import { ssh } from '../../ports/ssh.ts';
import type { Link } from './link.ts';

export const nodes: Link = { ports: { ssh } };
