/**
 * What a new node is asked to say of itself: one fixed command over SSH that changes nothing, needs no root and leaves
 * nothing behind. Each part that a node lacks is simply short; read.ts calls it unknown.
 */

/** A list of packages is asked for at most this long; a mirror that hangs must not hold the node up. */
const DNF_SECONDS = 60;

/** Single quotes stand around it, so that the login's own shell, whatever it is, hands it to sh unread. */
const SCRIPT = `
LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"; export LC_ALL PATH
part() { printf "\\n=== %s\\n" "$1"; }
ended() { printf "\\nexit %s\\n" "$1"; }
have() { command -v "$1" >/dev/null 2>&1; }
part os; cat /etc/os-release 2>/dev/null || cat /usr/lib/os-release
part kernel; uname -r
part openssl; openssl version
part boot; grep "^btime " /proc/stat
part now; date +%s
if have docker; then part docker; docker version --format "{{.Server.Version}}" </dev/null; ended $?; fi
if have dockerd; then part dockerd; dockerd --version; ended $?; fi
if have containerd; then part containerd; containerd --version; ended $?; fi
if have crio; then part crio; crio --version; ended $?; fi
part runtimes
if have apt-get; then
  part apt
  out=$(apt-get -s -qq -o Debug::NoLocking=true dist-upgrade </dev/null); code=$?
  printf "%s\\n" "$out" | grep "^Inst "
  ended $code
  if [ $code -ne 0 ] && [ -x /usr/lib/update-notifier/apt-check ]; then
    part aptcheck; /usr/lib/update-notifier/apt-check 2>&1
  fi
  part aptlists
  stat -c "read %Y" /var/lib/apt/lists /var/lib/apt/lists/partial /var/lib/apt/periodic/update-success-stamp
  ls /var/lib/apt/lists
elif have dnf; then
  part dnf
  out=$(timeout ${DNF_SECONDS} dnf -q updateinfo list --security </dev/null); code=$?
  printf "%s\\n" "$out" | head -n 2000
  ended $code
  if [ -z "$out" ]; then
    part advisories; timeout ${DNF_SECONDS} dnf -q updateinfo list --all --security </dev/null | head -n 1
  fi
fi
part end
exit 0
`;

export const EVIDENCE_COMMAND = `sh -c '${SCRIPT}' 2>/dev/null`;
/** Simulating an upgrade on a small machine right after boot, when everything else starts as well. */
export const EVIDENCE_MS = 120_000;
