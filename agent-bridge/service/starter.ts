/** The first `bridge.yaml`: complete in form, and it grants nothing. */
export interface StarterPlaces {
  dataDir: string;
  scriptsDir?: string | undefined;
  vmRoot?: string | undefined;
  imageRoot?: string | undefined;
}

export function starterPolicy({
  dataDir,
  scriptsDir = 'C:\\Program Files\\node-cycle-bridge\\scripts',
  vmRoot = 'D:\\node-cycle\\vms',
  imageRoot = 'D:\\node-cycle\\images',
}: StarterPlaces): string {
  return `# The allow-list of the bridge. What is not written here is not allowed. \`bridge check\` says it in words.
version: 1
listen: { host: 0.0.0.0, port: 8443 }
# eventLog: true                           # entries of the log also go to the Windows Event Log
# health: { port: 8444, metrics: false }     # http://127.0.0.1:8444/health, for a monitor on this host
# url: https://host.example.test:8443      # what \`enroll\` prints for the agents

engine:
  file: 'C:\\Windows\\System32\\WindowsPowerShell\\v1.0\\powershell.exe'
scriptsDir: ${JSON.stringify(scriptsDir)}
dataDir: ${JSON.stringify(dataDir)}
vmRoot: ${JSON.stringify(vmRoot)}
imageRoot: ${JSON.stringify(imageRoot)}
# packer: 'C:\\Program Files\\packer\\packer.exe'
keepStoppedHours: 24

networks: {}
  # lan: { switch: External, vlan: 20, subnet: 10.0.20.0/24, gateway: 10.0.20.1, dns: [10.0.20.2] }
sizes: {}
  # medium: { cpuCount: 4, memoryMb: 8192 }
images: {}
  # ubuntu-24: { template: 'D:\\templates\\ubuntu-24.pkr.hcl', user: rke, authorizedKeys: ['ssh-ed25519 AAAA…'] }
  #   # and as \`check\` prints it, so that it can be built: pin: …
zones: {}
  # example.test: { servers: [10.0.20.2], ttlSeconds: 300 }

clients: []
  # - name: agent-prod
  #   clusters: [prod]
  #   operations: [host.read, vm.read, dns.read, vm.create, vm.stop, vm.delete, dns.swap]
  #   names: ['prod-*']
  #   sizes: [medium]
  #   images: [ubuntu-24]
  #   addressRanges: [10.0.20.100-10.0.20.149]
  #   switches: [lan]
  #   dns: [{ zone: example.test, names: [cp-prod] }]
  #   budgets: { creations: 5, deletions: 5, imageBuilds: 1, dnsSwaps: 20, stops: 10 }
  #   maxRunningVms: 6
`;
}
