#!/bin/sh
# The one command that the cycle's SSH account may run on the proxy. Six verbs, chosen by what the client asks
# for (SSH_ORIGINAL_COMMAND): read, put, test, reload, workers, connections. Values come as bytes on stdin and
# are compared or written, never expanded.
#
#   authorized_keys:  restrict,command="/usr/local/sbin/node-cycle-proxy.sh" ssh-ed25519 AAAA...
#   with sudo:        restrict,command="sudo -n /usr/local/sbin/node-cycle-proxy.sh" ...
#                     sudoers: Defaults!/usr/local/sbin/node-cycle-proxy.sh env_keep += "SSH_ORIGINAL_COMMAND"
#
# Configuration, one key=value a line (default /etc/node-cycle-proxy.conf, or the first argument, which only
# the forced command can give): nginx, prefix, conf, pid, errorlog, state (a folder of ours), and one
# file=/absolute/path for each file that may be read and replaced.
#
# Every line of an answer starts with the nonce that the client sent, so a banner or a login message cannot be
# taken for one. File contents and program output travel as base64.
set -u
LC_ALL=C
PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin
export LC_ALL PATH
umask 077

VERSION=1
MAX_BODY=8388608     # bytes that one put may carry: far above any upstream file, far below a full disk
RELOAD_TENTHS=60     # nginx tries a busy listen port 5 times in 2.5 s before it gives up
OUTPUT_BYTES=8192    # of nginx's own words, from the end

conf_file=${1:-/etc/node-cycle-proxy.conf}
nginx=/usr/sbin/nginx prefix='' conf=/etc/nginx/nginx.conf pid=/run/nginx.pid
errorlog=/var/log/nginx/error.log state=/var/lib/node-cycle-proxy allowed=''
newline='
'
while IFS= read -r line || [ -n "$line" ]; do
  value=${line#*=}
  case $line in
    nginx=*) nginx=$value ;;
    prefix=*) prefix=$value ;;
    conf=*) conf=$value ;;
    pid=*) pid=$value ;;
    errorlog=*) errorlog=$value ;;
    state=*) state=$value ;;
    file=/*) allowed=$allowed$value$newline ;;
  esac
done < "$conf_file" || exit 78

IFS= read -r nonce || exit 64
case $nonce in *[!0-9a-f]* | '') exit 64 ;; esac
[ "${#nonce}" -eq 32 ] || exit 64

work=''
locked=''
cleanup() {
  [ -z "$work" ] || rm -rf "$work"
  [ -z "$locked" ] || rm -rf "$locked"
}
trap cleanup EXIT
trap 'exit 75' HUP INT TERM PIPE

say() { printf '%s %s\n' "$nonce" "$*"; }
say_bytes() { printf '%s %s %s\n' "$nonce" "$1" "$(base64 | tr -d '\n')"; }
finish() {
  say "end $1"
  [ "$1" = ok ] && exit 0
  exit 10
}
refuse() {
  [ -z "${2:-}" ] || printf '%s' "$2" | tail -c "$OUTPUT_BYTES" | say_bytes output
  finish "refused $1"
}
sum() {
  if command -v sha256sum > /dev/null 2>&1; then sha256sum < "$1"; else shasum -a 256 < "$1"; fi | cut -d' ' -f1
}
is_allowed() {
  case $newline$allowed in *"$newline$1$newline"*) return 0 ;; esac
  return 1
}
run_nginx() {
  if [ -n "$prefix" ]; then "$nginx" -p "$prefix" -c "$conf" "$@"; else "$nginx" -c "$conf" "$@"; fi
}
begin_work() {
  mkdir -p "$state" && work=$(mktemp -d "$state/work.XXXXXX") || refuse disk "cannot make a folder in $state"
}
# One change at a time. A lock whose holder is gone is taken over.
take_lock() {
  mkdir -p "$state" || refuse disk "cannot make $state"
  tries=0
  until mkdir "$state/lock" 2> /dev/null; do
    holder=$(cat "$state/lock/pid" 2> /dev/null)
    if [ -n "$holder" ] && ! kill -0 "$holder" 2> /dev/null; then
      rm -rf "$state/lock"
      continue
    fi
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || refuse busy "another change holds $state/lock (process $holder)"
    sleep 0.1 2> /dev/null || sleep 1
  done
  locked=$state/lock
  echo $$ > "$state/lock/pid"
}
master() {
  found=$(cat "$pid" 2> /dev/null)
  case $found in '' | *[!0-9]*) return 1 ;; esac
  kill -0 "$found" 2> /dev/null && echo "$found"
}
# Workers that take new connections; one that shuts down says so in its title.
active_workers() {
  m=$(master) || return 0
  ps -e -o pid= -o ppid= -o args= | awk -v m="$m" '$2 == m && /worker process/ && !/shutting down/ { print $1 }' | sort -n | tr '\n' ' '
}
all_workers() {
  m=$(master) || return 0
  ps -e -o pid= -o ppid= -o args= | awk -v m="$m" '$2 == m && /worker process/ { print $1 }'
}
# What the allowed files hold now, as one digest.
digest() {
  begin_sum=$work/all
  : > "$begin_sum"
  printf '%s' "$allowed" | while IFS= read -r f; do
    [ -f "$f" ] && cat "$f" >> "$begin_sum"
    printf '\0%s\0' "$f" >> "$begin_sum"
  done
  sum "$begin_sum"
}

# The whole observation in one answer. Workers come first, so that files that change later are not taken for
# those that these workers read.
verb_read() {
  verb_workers
  [ ! -r /proc/net/tcp ] || verb_connections
  printf '%s' "$allowed" | while IFS= read -r f; do
    [ -f "$f" ] || continue
    printf '%s' "$f" | say_bytes path
    say_bytes data < "$f"
  done
  tail -n 20 "$errorlog" 2> /dev/null | tail -c "$OUTPUT_BYTES" | say_bytes log
}

# Which files are in force is not something that nginx tells. After each proven reload we note the workers and
# the files' digest: while the same workers run, that is what they read.
verb_workers() {
  w=$(active_workers)
  say "master $(master)"
  say "workers $w"
  noted=$(cat "$state/loaded" 2> /dev/null)
  if [ -n "$noted" ] && [ "$noted" = "$w$(digest)" ]; then say 'loaded yes'; else say 'loaded unknown'; fi
}

verb_test() {
  if out=$(run_nginx -t 2>&1); then printf '%s' "$out" | say_bytes output; else refuse test "$out"; fi
}

# The sockets of nginx's own workers (old ones included), counted by where they lead.
verb_connections() {
  [ -r /proc/net/tcp ] || refuse unavailable 'this system has no /proc/net/tcp'
  for p in $(all_workers); do ls -l "/proc/$p/fd" 2> /dev/null; done |
    sed -n 's/.*socket:\[\([0-9]*\)\].*/\1/p' | sort -u > "$work/inodes"
  cat /proc/net/tcp /proc/net/tcp6 2> /dev/null |
    awk -v list="$work/inodes" 'BEGIN { while ((getline i < list) > 0) ours[i] = 1 }
      $4 == "01" && ($10 in ours) { n[$3]++ } END { for (a in n) print a, n[a] }' |
    while read -r peer count; do say "peer $peer $count"; done
}

# stdin: "file <digest now> <digest then> <bytes> <path>" a line, an empty line, then the contents in that order. With
# "back" instead of "file" they are what was there before, and stay whatever nginx -t says: somebody else's broken file
# is no reason to keep ours.
verb_put() {
  back=''
  : > "$work/heads"
  while :; do
    IFS= read -r head || refuse malformed 'the header ended early'
    [ -n "$head" ] || break
    printf '%s\n' "$head" >> "$work/heads"
  done
  head -c "$((MAX_BODY + 1))" > "$work/body" || refuse disk 'cannot store what was sent'
  [ "$(wc -c < "$work/body")" -le "$MAX_BODY" ] || refuse malformed 'more bytes than one put may carry'
  take_lock
  number=0
  offset=1
  while IFS=' ' read -r word now then size path; do
    case $word in
      file) ;;
      back) back=yes ;;
      *) refuse malformed 'unknown header' ;;
    esac
    case $size in '' | *[!0-9]*) refuse malformed 'a size that is not a number' ;; esac
    is_allowed "$path" || refuse not-allowed "$path"
    target=$(readlink -f "$path") && [ -f "$target" ] || refuse not-allowed "$path is not there"
    [ "$(sum "$target")" = "$now" ] || refuse changed "$path was changed by someone else"
    number=$((number + 1))
    printf '%s\n' "$target" > "$work/target.$number"
    tail -c "+$offset" "$work/body" | head -c "$size" > "$work/new.$number" || refuse disk 'cannot store what was sent'
    [ "$(sum "$work/new.$number")" = "$then" ] || refuse malformed "$path did not arrive whole"
    offset=$((offset + size))
  done < "$work/heads"
  [ "$number" -gt 0 ] || refuse malformed 'no file'
  n=0
  while [ "$n" -lt "$number" ]; do
    n=$((n + 1))
    target=$(cat "$work/target.$n")
    # A leading dot: no include pattern matches it.
    temp=${target%/*}/.node-cycle.${target##*/}
    backup=$state/backup.${target##*/}
    if ! { cp -p "$target" "$work/old.$n" && cp -p "$target" "$backup" && cp -p "$target" "$temp" \
      && cat "$work/new.$n" > "$temp" && [ "$(sum "$temp")" = "$(sum "$work/new.$n")" ]; } 2> "$work/why"; then
      rm -f "$temp"
      give_up "$n" disk "$(cat "$work/why")"
    fi
  done
  # From here to the verdict of nginx -t it is all or nothing: a lost connection does not stop it half way.
  trap '' HUP INT TERM PIPE
  n=0
  while [ "$n" -lt "$number" ]; do
    n=$((n + 1))
    target=$(cat "$work/target.$n")
    mv -f "${target%/*}/.node-cycle.${target##*/}" "$target" || restore_all "$n" disk 'rename failed'
  done
  if out=$(run_nginx -t 2>&1) || [ -n "$back" ]; then
    printf '%s' "$out" | say_bytes output
  else
    restore_all "$number" test "$out"
  fi
}
# Nothing is in place yet: only the temporary files go.
give_up() {
  k=0
  while [ "$k" -lt "$1" ]; do
    k=$((k + 1))
    t=$(cat "$work/target.$k")
    rm -f "${t%/*}/.node-cycle.${t##*/}"
  done
  refuse "$2" "$3"
}
restore_all() {
  k=0
  while [ "$k" -lt "$1" ]; do
    k=$((k + 1))
    t=$(cat "$work/target.$k")
    temp=${t%/*}/.node-cycle.${t##*/}
    cp -p "$work/old.$k" "$temp" && mv -f "$temp" "$t" || refuse "$2-not-restored" "$3"
  done
  refuse "$2" "$3"
}

verb_reload() {
  take_lock
  before=$(active_workers)
  # An empty list is no evidence: without a running nginx there is nothing to reload.
  [ -n "$before" ] || refuse not-running 'nginx has no workers'
  size=$(wc -c < "$errorlog" 2> /dev/null || echo 0)
  what=$(digest)
  out=$(run_nginx -s reload 2>&1) || refuse reload "$out"
  left=$RELOAD_TENTHS
  while [ "$left" -gt 0 ]; do
    after=$(active_workers)
    same=''
    for w in $before; do case " $after" in *" $w "*) same=yes ;; esac; done
    tail -c "+$((size + 1))" "$errorlog" 2> /dev/null | head -c 65536 > "$work/log"
    [ -n "$same" ] || [ -z "$after" ] || break
    if grep -q '\[emerg\]' "$work/log" && grep -q 'still could not bind\|\[emerg\].*failed (\(13\|2\)' "$work/log"; then break; fi
    left=$((left - 1))
    sleep 0.1 2> /dev/null || { sleep 1; left=$((left - 9)); }
  done
  say "before $before"
  say "after $after"
  tail -c "$OUTPUT_BYTES" "$work/log" | say_bytes log
  if [ -z "$same" ] && [ -n "$after" ] && ! grep -q '\[emerg\]\|\[alert\]' "$work/log"; then
    printf '%s' "$after$what" > "$state/loaded"
  else
    rm -f "$state/loaded"
  fi
}

printf '\n'
verb=${SSH_ORIGINAL_COMMAND:-}
case $verb in
  read | put | test | reload | workers | connections) ;;
  *) verb='' ;;
esac
say "begin $VERSION ${verb:-none}"
[ -n "$verb" ] || refuse unknown-verb
begin_work
"verb_$verb"
finish ok
