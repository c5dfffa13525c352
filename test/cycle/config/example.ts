/** A whole node-cycle.yml that is good, and edits of it by line. */
export const GOOD = `cluster: demo
rke:
  config: cluster.yml
  branch: main
  stateDir: /var/lib/node-cycle/demo
age:
  limitDays: 60
window:
  timeZone: Europe/Berlin
  days: [mon, tue, wed, thu]
  from: "22:00"
  to: "04:00"
names:
  pattern: "{cluster}-{role}-{n:x3}"
addresses:
  source: static
  ranges:
    - 10.0.0.60-10.0.0.79
    - 10.0.1.10-10.0.1.19
vm:
  image: ubuntu-22
  sizes:
    controlplane: medium
    worker: small
  bootMinutes: 15
ssh:
  knownHosts: known_hosts
kubernetes:
  readyInARow: 3
  drainSeconds: 900
proxies:
  - name: pi
    host: 10.0.0.5
    port: 22
    user: node-cycle
    hostKey: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0N
    drainSeconds: 300
    probe:
      url: http://shop.example/healthz
  - name: pi2
    host: 10.0.0.6
    user: node-cycle
    hostKey: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0N
ingress:
  roles: [worker]
  repository: ssh://git@git.example/gitops.git
  branch: main
  file: ingress/values.yaml
  path: controller.service.externalIPs
  sync:
    tool: argocd
    application: ingress-nginx
  probe:
    port: 80
    path: /healthz
dns:
  adapter: rfc2136
  zone: k8s.example
  servers:
    - 10.0.0.2:53
    - 10.0.0.3:53
  keyName: node-cycle
  aliases:
    - name: cp-demo
      type: A
      role: controlplane
    - name: apps.k8s.example
      type: CNAME
      role: worker
allow:
  singleMember: false
pace:
  pollMs: 2000
  settleSeconds: 60
`;

/** The smallest file that is good. */
export const SMALLEST = `cluster: demo
rke: {}
addresses:
  source: dhcp
  ranges: [10.0.0.60-10.0.0.79]
vm:
  image: ubuntu
  sizes: { worker: small }
`;

/** The good file with one text in it replaced; the text must stand in it exactly once. */
export function edited(search: string, replacement: string, text = GOOD): string {
  const parts = text.split(search);
  if (parts.length !== 2) throw new Error(`"${search}" stands ${parts.length - 1} times in the example`);
  return parts.join(replacement);
}
