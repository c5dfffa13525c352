#!/bin/bash
# Every update there is today: an image is as old as its build.
set -Eeuo pipefail
# In this form the bridge finds the line and names it when the build fails.
trap 'echo "$0: line $LINENO: ended with $?: $BASH_COMMAND" >&2' ERR
export DEBIAN_FRONTEND=noninteractive

cloud-init status --wait >/dev/null 2>&1 || true
# The installed system looks for updates by itself at its first start, and holds the lock while it does.
systemctl stop unattended-upgrades.service apt-daily.timer apt-daily-upgrade.timer 2>/dev/null || true
apt-get -o DPkg::Lock::Timeout=300 -q update
apt-get -o DPkg::Lock::Timeout=300 -qy dist-upgrade
apt-get -qy autoremove --purge
