/** The kubeconfig that rke writes: one cluster, one context, a client certificate inside. */
import type { Issued } from './issue.ts';

export interface KubeconfigRequest {
  clusterName: string;
  /** `https://address:port`. */
  server: string;
  caPem: string;
  client: Issued;
}

const base64 = (text: string) => Buffer.from(text).toString('base64');

export function kubeconfig(request: KubeconfigRequest): string {
  const user = `kube-admin-${request.clusterName}`;
  return [
    'apiVersion: v1',
    'kind: Config',
    'clusters:',
    '- cluster:',
    '    api-version: v1',
    `    certificate-authority-data: ${base64(request.caPem)}`,
    `    server: "${request.server}"`,
    `  name: "${request.clusterName}"`,
    'contexts:',
    '- context:',
    `    cluster: "${request.clusterName}"`,
    `    user: "${user}"`,
    `  name: "${request.clusterName}"`,
    `current-context: "${request.clusterName}"`,
    'users:',
    `- name: "${user}"`,
    '  user:',
    `    client-certificate-data: ${base64(request.client.certPem)}`,
    `    client-key-data: ${base64(request.client.keyPem)}`,
    '',
  ].join('\n');
}
