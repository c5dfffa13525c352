#!/bin/bash
# The container runtime, from Docker's own archive, held at its version. DOCKER_VERSION=distribution: the system's own.
set -Eeuo pipefail
# In this form the bridge finds the line and names it when the build fails.
trap 'echo "$0: line $LINENO: ended with $?: $BASH_COMMAND" >&2' ERR
export DEBIAN_FRONTEND=noninteractive

if [ "${DOCKER_VERSION:?}" = distribution ]; then
  apt-get -qy install --no-install-recommends docker.io
  apt-mark hold docker.io
else
  apt-get -qy install --no-install-recommends ca-certificates curl gpg
  . /etc/os-release
  install -d -m 0755 /etc/apt/keyrings
  curl -fsS --retry 3 "https://download.docker.com/linux/$ID/gpg" | gpg --dearmor --yes -o /etc/apt/keyrings/docker.gpg
  gpg --show-keys --with-colons /etc/apt/keyrings/docker.gpg | grep -q '^fpr:*9DC858229FC7DD38854AE2D88D81803C0EBFCD88:'
  echo "deb [signed-by=/etc/apt/keyrings/docker.gpg] https://download.docker.com/linux/$ID $VERSION_CODENAME stable" > /etc/apt/sources.list.d/docker.list
  apt-get -q update
  apt-get -qy install --no-install-recommends "docker-ce=$DOCKER_VERSION" "docker-ce-cli=$DOCKER_VERSION" containerd.io
  apt-mark hold docker-ce docker-ce-cli
fi

install -d -m 0755 /etc/docker
cat > /etc/docker/daemon.json <<'JSON'
{ "log-driver": "json-file", "log-opts": { "max-size": "50m", "max-file": "3" }, "live-restore": true }
JSON
systemctl enable docker.service
docker --version
