#!/bin/bash
# What a node needs of its system: no swap, the bridge's filter, cgroups of version 1, and the seed as its only source.
set -Eeuo pipefail
# In this form the bridge finds the line and names it when the build fails.
trap 'echo "$0: line $LINENO: ended with $?: $BASH_COMMAND" >&2' ERR
export DEBIAN_FRONTEND=noninteractive

sed -i '/\sswap\s/d' /etc/fstab
swapoff -a
rm -f /swap.img

printf 'br_netfilter\noverlay\n' > /etc/modules-load.d/node.conf
printf 'net.bridge.bridge-nf-call-iptables = 1\nnet.ipv4.ip_forward = 1\n' > /etc/sysctl.d/90-node.conf

# The kubelet of Kubernetes 1.20 does not run well on cgroups of version 2.
if [ -d /etc/default/grub.d ]; then
  echo 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX systemd.unified_cgroup_hierarchy=0"' > /etc/default/grub.d/60-node.cfg
  update-grub
fi

# What the installer left would win over the seed of the VM that is made from this image.
rm -f /etc/cloud/cloud.cfg.d/99-installer.cfg /etc/cloud/cloud.cfg.d/*disable-cloudinit-networking.cfg
rm -f /etc/cloud/cloud-init.disabled /etc/cloud/ds-identify.cfg /etc/netplan/*.yaml
install -d -m 0755 /etc/cloud/cloud.cfg.d
echo 'datasource_list: [NoCloud, None]' > /etc/cloud/cloud.cfg.d/90-node.cfg

install -d -m 0755 /etc/ssh/sshd_config.d
printf 'PasswordAuthentication no\nPermitRootLogin no\n' > /etc/ssh/sshd_config.d/50-node.conf
systemctl enable ssh.service
