/** What rke v1.2.23 fills in where cluster.yml is silent, as its state file shows it (rkestate-redacted.json). */

/** Kubernetes versions that this rke knows; the last is its default. */
/** In the order of `config --list-version --all`, which is none. */
export const KNOWN_VERSIONS: readonly string[] = [
  'v1.19.16-rancher2-1',
  'v1.17.17-rancher2-4',
  'v1.20.15-rancher2-1',
  'v1.18.20-rancher1-3',
];

export interface Program {
  /** As `rke --version` says it. */
  version: string;
  defaultKubernetes: string;
  knownVersions: readonly string[];
}

export const PROGRAM: Program = {
  version: 'v1.2.23',
  defaultKubernetes: 'v1.20.15-rancher2-1',
  knownVersions: KNOWN_VERSIONS,
};

export const SUPPORTED_DOCKER = [
  '1.13.x',
  '17.03.x',
  '17.06.x',
  '17.09.x',
  '18.06.x',
  '18.09.x',
  '19.03.x',
  '20.10.x',
];

const TOOLS = 'rancher/rke-tools:v0.1.80';

export function systemImages(kubernetesVersion: string): Record<string, string> {
  const hyperkube = `rancher/hyperkube:${kubernetesVersion.replace(/-\d+$/, '')}`;
  const scaler = 'rancher/mirrored-cluster-proportional-autoscaler:1.8.1';
  const calico = (part: string, version = 'v3.17.2') => `rancher/mirrored-calico-${part}:${version}`;
  const flannel = 'rancher/mirrored-coreos-flannel:v0.15.1';
  const pause = 'rancher/mirrored-pause:3.6';
  return {
    etcd: 'rancher/mirrored-coreos-etcd:v3.4.15-rancher1',
    alpine: TOOLS,
    nginxProxy: TOOLS,
    certDownloader: TOOLS,
    kubernetesServicesSidecar: TOOLS,
    kubedns: 'rancher/mirrored-k8s-dns-kube-dns:1.15.10',
    dnsmasq: 'rancher/mirrored-k8s-dns-dnsmasq-nanny:1.15.10',
    kubednsSidecar: 'rancher/mirrored-k8s-dns-sidecar:1.15.10',
    kubednsAutoscaler: scaler,
    coredns: 'rancher/mirrored-coredns-coredns:1.8.0',
    corednsAutoscaler: scaler,
    nodelocal: 'rancher/mirrored-k8s-dns-node-cache:1.15.13',
    kubernetes: hyperkube,
    flannel,
    flannelCni: 'rancher/flannel-cni:v0.3.0-rancher6',
    calicoNode: calico('node'),
    calicoCni: calico('cni'),
    calicoControllers: calico('kube-controllers'),
    calicoCtl: calico('ctl'),
    calicoFlexVol: calico('pod2daemon-flexvol'),
    canalNode: calico('node'),
    canalCni: calico('cni'),
    canalControllers: calico('kube-controllers'),
    canalFlannel: flannel,
    canalFlexVol: calico('pod2daemon-flexvol'),
    weaveNode: 'weaveworks/weave-kube:2.8.1',
    weaveCni: 'weaveworks/weave-npc:2.8.1',
    podInfraContainer: pause,
    ingress: 'rancher/nginx-ingress-controller:nginx-1.2.1-rancher1',
    ingressBackend: 'rancher/mirrored-nginx-ingress-controller-defaultbackend:1.5-rancher1',
    ingressWebhook: 'rancher/mirrored-ingress-nginx-kube-webhook-certgen:v1.1.1',
    metricsServer: 'rancher/mirrored-metrics-server:v0.5.0',
    windowsPodInfraContainer: pause,
    aciCniDeployContainer: 'noiro/cnideploy:5.1.1.0.1ae238a',
    aciHostContainer: 'noiro/aci-containers-host:5.1.1.0.1ae238a',
    aciOpflexContainer: 'noiro/opflex:5.1.1.0.1ae238a',
    aciMcastContainer: 'noiro/opflex:5.1.1.0.1ae238a',
    aciOvsContainer: 'noiro/openvswitch:5.1.1.0.1ae238a',
    aciControllerContainer: 'noiro/aci-containers-controller:5.1.1.0.1ae238a',
    aciGbpServerContainer: 'noiro/gbp-server:5.1.1.0.1ae238a',
    aciOpflexServerContainer: 'noiro/opflex-server:5.1.1.0.1ae238a',
  };
}

const rolling = (rollingUpdate: Record<string, unknown>) => ({ strategy: 'RollingUpdate', rollingUpdate });

/** The whole rkeConfig but `nodes`, for an empty cluster.yml. */
export function defaultConfig(kubernetesVersion: string): Record<string, unknown> {
  const images = systemImages(kubernetesVersion);
  const hyperkube = images['kubernetes'];
  return {
    services: {
      etcd: {
        image: images['etcd'],
        extraArgs: { 'election-timeout': '5000', 'heartbeat-interval': '500' },
        snapshot: true,
        retention: '72h',
        creation: '12h',
      },
      kubeApi: {
        image: hyperkube,
        serviceClusterIpRange: '10.43.0.0/16',
        serviceNodePortRange: '30000-32767',
        auditLog: {
          enabled: true,
          configuration: {
            maxAge: 30,
            maxBackup: 10,
            maxSize: 100,
            path: '/var/log/kube-audit/audit-log.json',
            format: 'json',
            policy: {
              kind: 'Policy',
              apiVersion: 'audit.k8s.io/v1',
              metadata: { creationTimestamp: null },
              rules: [{ level: 'Metadata' }],
            },
          },
        },
      },
      kubeController: {
        image: hyperkube,
        clusterCidr: '10.42.0.0/16',
        serviceClusterIpRange: '10.43.0.0/16',
      },
      scheduler: { image: hyperkube },
      kubelet: {
        image: hyperkube,
        clusterDomain: 'cluster.local',
        infraContainerImage: images['podInfraContainer'],
        clusterDnsServer: '10.43.0.10',
      },
      kubeproxy: { image: hyperkube },
    },
    network: {
      plugin: 'canal',
      options: {
        canal_flannel_backend_port: '8472',
        canal_flannel_backend_type: 'vxlan',
        canal_flannel_backend_vni: '1',
        canal_flex_volume_plugin_dir: '/usr/libexec/kubernetes/kubelet-plugins/volume/exec/nodeagent~uds',
      },
      updateStrategy: rolling({ maxUnavailable: 1 }),
    },
    authentication: { strategy: 'x509' },
    systemImages: images,
    sshKeyPath: '~/.ssh/id_rsa',
    sshAgentAuth: false,
    authorization: { mode: 'rbac' },
    ignoreDockerVersion: false,
    kubernetesVersion,
    ingress: {
      provider: 'nginx',
      updateStrategy: rolling({ maxUnavailable: 1 }),
      httpPort: 80,
      httpsPort: 443,
      networkMode: 'hostNetwork',
      defaultBackend: true,
    },
    clusterName: 'local',
    cloudProvider: {},
    prefixPath: '/',
    addonJobTimeout: 45,
    bastionHost: {},
    monitoring: {
      provider: 'metrics-server',
      updateStrategy: rolling({ maxUnavailable: '25%', maxSurge: '25%' }),
      replicas: 1,
    },
    restore: {},
    rotateEncryptionKey: false,
    dns: {
      provider: 'coredns',
      updateStrategy: rolling({ maxUnavailable: 1, maxSurge: 0 }),
      linearAutoscalerParams: {
        coresPerReplica: 128,
        nodesPerReplica: 4,
        min: 1,
        preventSinglePointFailure: true,
      },
    },
    upgradeStrategy: { maxUnavailableWorker: '10%', maxUnavailableControlplane: '1' },
  };
}
