#!/bin/bash
# Nothing that two nodes must not share stays in the image.
set -Eeuo pipefail
# In this form the bridge finds the line and names it when the build fails.
trap 'echo "$0: line $LINENO: ended with $?: $BASH_COMMAND" >&2' ERR
export DEBIAN_FRONTEND=noninteractive

apt-get -qy clean
rm -rf /var/lib/apt/lists/* /var/log/installer
find /var/log -type f -exec truncate -s 0 {} +
rm -f /etc/ssh/ssh_host_*
truncate -s 0 /etc/machine-id
rm -f /var/lib/dbus/machine-id /var/lib/systemd/random-seed
cloud-init clean --logs --seed
# Blocks that are zero are left out when the disk is compacted.
fstrim -av || true
sync
