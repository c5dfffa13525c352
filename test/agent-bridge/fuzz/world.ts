/** The policy that is fuzzed: two clients whose grants cross in every way that a mistake could mix up. */
import { policyText } from '../support/rig.ts';

const GRANTS = (prints: Record<string, string>): string => `clients:
  - name: agent-a
    ${fingerprint(prints['agent-a'])}
    clusters: [prod, stage]
    operations: [host.read, vm.read, dns.read, image.build, vm.create, vm.stop, vm.delete, dns.swap]
    names: ['prod-*', 'st-*-n', exact]
    sizes: [small]
    images: [ubuntu]
    addressRanges: [10.0.20.100-10.0.20.149, 10.0.30.0/28, 10.0.20.7, '2001:db8:20::/64']
    macPrefixes: ['00:15:5d', '02:aa:00']
    switches: [lan]
    dns:
      - { zone: example.test, names: [cp-prod, 'x-*'], types: [A, AAAA] }
      - { zone: corp.test, names: ['*'], types: [CNAME], targets: ['*.nodes.test', exact.test], maxTtlSeconds: 60 }
    budgets: { creations: 3, deletions: 2, imageBuilds: 1, dnsSwaps: 3, stops: 4 }
    maxRunningVms: 10
  - name: agent-b
    ${fingerprint(prints['agent-b'])}
    clusters: [other]
    operations: [vm.read, vm.stop, vm.delete, dns.swap]
    names: ['*']
    sizes: [large]
    images: [ubuntu]
    addressRanges: [10.0.40.0/24, '2001:db8:40::10-2001:db8:40::1f']
    switches: [lan]
    dns: [{ zone: example.test, names: [b], types: [A, AAAA, CNAME], targets: ['*'] }]
    budgets: { stops: 2, dnsSwaps: 2 }
`;

const fingerprint = (print: string | undefined): string =>
  print === undefined ? '# not enrolled' : `fingerprint: '${print}'`;

/** `prints`: fingerprint of each client that is enrolled. */
export function fuzzedPolicy(dir: string, world: string, prints: Record<string, string> = {}): string {
  const text = policyText(dir, world)
    .replace('sizes:\n', 'sizes:\n  large: { cpuCount: 8, memoryMb: 16384 }\n')
    .replace('zones:\n', 'zones:\n  corp.test: { servers: [10.0.20.2] }\n');
  return text.slice(0, text.indexOf('clients:\n')) + GRANTS(prints);
}

export const CLIENTS = ['agent-a', 'agent-b'] as const;

/** Whose VMs the bridge has records of. Other ids of the generator are nobody's. */
export const OWNED: Record<string, string> = {
  '00000000-0000-4000-8000-000000000001': 'prod',
  '00000000-0000-4000-8000-000000000002': 'stage',
  '00000000-0000-4000-8000-000000000003': 'other',
};
