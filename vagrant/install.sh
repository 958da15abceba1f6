#!/usr/bin/env bash
# Installs wherry on this machine (Debian 12 or newer, Ubuntu 22.04 or newer), as systemd units. Safe to repeat: a second
# run with the same options changes nothing, one from a newer checkout upgrades in place and leaves pods running.
set -euo pipefail

readonly HOME_DIRECTORY=/opt/wherry UNITS=/etc/systemd/system
SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly SOURCE
BUNDLE=${WHERRY_BUNDLE:-} ROLE='' START=yes
PAIRS=()

usage() {
  cat <<'TEXT'
usage: sudo vagrant/install.sh server [--address IP] [--name NAME] [OPTION]…      a control plane
       sudo vagrant/install.sh agent --server URL --token TOKEN [OPTION]…         a node: agent, pod network, proxy
       sudo vagrant/install.sh agent --kubeconfig FILE [OPTION]…                  a node, with credentials made elsewhere
       sudo vagrant/install.sh proxy --kubeconfig FILE [OPTION]…                  Services alone
       sudo vagrant/install.sh program                                            the program, no units (for images)
       sudo vagrant/install.sh remove                                             units, program and state

  --address IP        server: where nodes reach it       --name NAME         server: the cluster's name
  --token TOKEN       ID.SECRET; on a server: let machines join with it
  --ca-hash HASH      sha256:… of the cluster's authority, as `wherry server token create` prints it
  --node-name NAME    else the host's name               --node-ip IP        else the route's to the API server
  --proxy-mode MODE   nftables (default), ipvs, iptables, userspace, auto
  --dns WHO           builtin (default) or external
  --pod-cidr RANGE    10.244.0.0/16                      --service-cidr RANGE  10.96.0.0/16
  --pod-network MODE  host-gw (default), vxlan, wireguard or none
  --cluster-dns IP    else the tenth of the service range
  --set KEY=VALUE     any key of server.yaml or node.yaml  --no-proxy         agent: another proxy is on this machine
  --bundle DIR        packages from a folder that vagrant/bundle.sh made, no network
  --no-start          enable the units, start nothing

example: sudo vagrant/install.sh server --address 192.168.56.10
         sudo wherry server token create            prints the command for the other machines
TEXT
}

say() { printf '  %s\n' "$*"; }
fail() {
  printf 'Error: %s\n' "$*" >&2
  exit 1
}

parse() {
  case ${1:-} in
    server | agent | proxy | program | remove) ROLE=$1 ;;
    -h | --help | help) usage && exit 0 ;;
    '') usage >&2 && exit 2 ;;
    *) fail "there is no role '$1'; use server, agent, proxy, program or remove (--help says more)" ;;
  esac
  shift
  WITH_PROXY=yes
  while (($#)); do
    case $1 in
      --no-proxy) WITH_PROXY=no && shift && continue ;;
      --no-start) START=no && shift && continue ;;
      -h | --help) usage && exit 0 ;;
    esac
    (($# >= 2)) || fail "$1 needs a value, or is unknown; --help lists the options"
    case $1 in
      --bundle) BUNDLE=$(realpath "$2") ;;
      --set) [[ $2 == *=* ]] || fail "--set '$2': write KEY=VALUE" && PAIRS+=("$2") ;;
      --token | --address | --name | --server | --ca-hash | --kubeconfig | --node-name | --node-ip | --proxy-mode | --dns | \
        --pod-network | --pod-cidr | --service-cidr | --cluster-dns)
        key=${1#--} && PAIRS+=("${key//-/_}=$2")
        ;;
      *) fail "unknown option $1; --help lists them" ;;
    esac
    shift 2
  done
}

check_machine() {
  ((EUID == 0)) || fail "this needs root: run it again with sudo"
  command -v apt-get >/dev/null || fail "no apt-get: only Debian, Ubuntu and their relatives are known here"
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null ||
    fail "Python 3.10 or newer is needed: apt-get install python3"
  [[ -d /etc/systemd ]] || fail "no systemd here: on a machine without it, \`./wherry up\` makes a cluster"
  local free
  free=$(df --output=avail -m /opt | tail -n 1)
  ((free >= 1500)) || fail "/opt has ${free// /} MB free and 1500 are needed: free some space"
  if [[ -n $BUNDLE && ! -d $BUNDLE/debs ]]; then
    fail "$BUNDLE holds no debs/: make a bundle with vagrant/bundle.sh"
  fi
  local year
  year=$(date +%Y)
  ((year >= 2026)) || fail "the clock says $year: set it, or certificates will not be good (apt-get install chrony)"
}

# The checkout's files but its tests, whole or not at all; the environment that was there is kept and brought up to date.
copy_program() {
  [[ $SOURCE == "$HOME_DIRECTORY" ]] && return
  local fresh=$HOME_DIRECTORY.new old=$HOME_DIRECTORY.old
  # An earlier run may have been killed between the two renames below.
  [[ -d $HOME_DIRECTORY || ! -d $old ]] || mv "$old" "$HOME_DIRECTORY"
  rm -rf "$fresh"
  mkdir "$fresh"
  tar -C "$SOURCE" --exclude=./.git --exclude=./.venv --exclude=./.vagrant --exclude=__pycache__ --exclude='./.*_cache' \
    --exclude=./bundle --exclude='*.box' --exclude=./tests --owner=0 --group=0 -cf - . | tar -C "$fresh" -xf -
  chmod -R go-w "$fresh"
  if [[ -d $HOME_DIRECTORY ]]; then
    python3 "$fresh/vagrant/inherit.py" "$HOME_DIRECTORY" "$fresh"
    [[ ! -e $HOME_DIRECTORY/.venv && ! -L $HOME_DIRECTORY/.venv ]] || mv "$HOME_DIRECTORY/.venv" "$fresh/.venv"
    rm -rf "$old"
    mv "$HOME_DIRECTORY" "$old"
  fi
  mv "$fresh" "$HOME_DIRECTORY"
  rm -rf "$old"
  ln -sf "$HOME_DIRECTORY/wherry" /usr/local/bin/wherry
}

install_packages() {
  if [[ -n $BUNDLE ]]; then
    local deb name status version wanted=()
    local -A here=()
    while read -r status name version; do
      if [[ $status == installed ]]; then here[$name]=$version; fi
    done < <(dpkg-query -W -f '${db:Status-Status} ${Package} ${Version}\n')
    for deb in "$BUNDLE"/debs/*.deb; do
      # apt names them PACKAGE_VERSION_ARCHITECTURE.deb; those that are here may be older than what others need.
      IFS=_ read -r name version _ <<<"${deb##*/}"
      version=${version//%3a/:}
      [[ ${here[$name]-} != "$version" ]] || continue
      if [[ -z ${here[$name]-} ]] || dpkg --compare-versions "${here[$name]}" lt "$version"; then wanted+=("$deb"); fi
    done
    if ((${#wanted[@]})); then
      say "${#wanted[@]} packages from $BUNDLE"
      DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${wanted[@]}" >/dev/null
    fi
    export PIP_NO_INDEX=1 PIP_FIND_LINKS="$BUNDLE/wheels" PIP_DISABLE_PIP_VERSION_CHECK=1
  fi
  # Compilers are brought for legacy iptables alone.
  local without=(--without legacy --without build)
  if iptables --version 2>/dev/null | grep -q legacy; then without=(); fi
  "$HOME_DIRECTORY/wherry" install "${without[@]}"
  # The units may not write here: what is not compiled now would be at each start. Only what changed is.
  # Packages have their names without a dot: the environment, which pip has compiled, is not walked through.
  "$HOME_DIRECTORY/.venv/bin/python" -m compileall -q -x /benchmarks/ "$HOME_DIRECTORY"/*/ || true
}

# put FILE TARGET: in place only where it differs; says by its status whether it did.
put() {
  if cmp -s "$1" "$2"; then return 1; fi
  install -D -m 644 "$1" "$2"
}

prepare_kernel() {
  put "$HOME_DIRECTORY/vagrant/files/modules.conf" /etc/modules-load.d/wherry.conf || true
  put "$HOME_DIRECTORY/vagrant/files/sysctl.conf" /etc/sysctl.d/90-wherry.conf || true
  running || return 0
  local module
  while read -r module; do
    modprobe -q "$module" || say "the kernel has no module $module: what needs it will not work"
  done < <(grep -v '^#' /etc/modules-load.d/wherry.conf)
  sysctl -q -p /etc/sysctl.d/90-wherry.conf || say "not every kernel setting could be made: see above"
}

prepare_runtime() {
  local config=/etc/containerd/config.toml
  if [[ -e $config && ! -e $config.before-wherry ]] && ! grep -q '^# wherry:' "$config"; then
    cp -p "$config" "$config.before-wherry"
  fi
  if put "$HOME_DIRECTORY/vagrant/files/containerd.toml" "$config" && running; then systemctl restart containerd; fi
  if running; then systemctl enable -q --now containerd; fi
}

running() { [[ -d /run/systemd/system ]]; }

enable_units() {
  local unit
  mkdir -p /etc/wherry /var/lib/wherry
  for unit in "$HOME_DIRECTORY"/vagrant/units/*; do
    put "$unit" "$UNITS/$(basename "$unit")" || true
  done
  if ! running; then
    systemctl enable -q "$@"
    say "systemd does not run here: the units are enabled and start with the machine"
    return
  fi
  systemctl daemon-reload
  systemctl enable -q "$@"
  [[ $START == yes ]] || return 0
  # Restarted, too, where they run: that is what an upgrade is.
  systemctl restart "$@"
  for unit in "$@"; do
    systemctl is-active -q "$unit" || fail "$unit does not start: journalctl -u $unit -n 50"
  done
}

install_server() {
  prepare_kernel
  "$HOME_DIRECTORY/wherry" server configure --check "${PAIRS[@]}"
  local units=(wherry-prepare.service wherry-apiserver.service wherry-scheduler.service wherry-controllers.service)
  # A node's own proxy serves this machine already.
  systemctl is-enabled -q wherry-proxy.service 2>/dev/null || units+=(wherry-hostnet.service)
  enable_units "${units[@]}" wherry-renew@server.timer
  running && [[ $START == yes ]] || return 0
  say "control plane up; kubeconfig: /var/lib/wherry/machine/kubeconfig"
  say "\`wherry server token create\` prints the command by which another machine joins"
}

install_node() {
  prepare_kernel
  "$HOME_DIRECTORY/wherry" agent configure --check "${PAIRS[@]}"
  local units=()
  if [[ $ROLE == agent ]]; then
    prepare_runtime
    units+=(wherry-agent.service)
  fi
  if [[ $ROLE == proxy || $WITH_PROXY == yes ]]; then
    if systemctl is-enabled -q wherry-hostnet.service 2>/dev/null; then
      systemctl disable -q wherry-hostnet.service
      if running; then systemctl stop wherry-hostnet.service; fi
    fi
    units+=(wherry-proxy.service)
  fi
  enable_units "${units[@]}" wherry-renew@agent.timer
  say "$ROLE installed; journalctl -fu wherry-$ROLE shows how it joins"
}

remove() {
  local unit found=()
  for unit in "$UNITS"/wherry-*; do
    [[ -e $unit ]] && found+=("$(basename "$unit")")
  done
  if ((${#found[@]})); then
    local plain=()
    for unit in "${found[@]}"; do [[ $unit == *@* ]] || plain+=("$unit"); done
    systemctl disable -q --now wherry-renew@server.timer wherry-renew@agent.timer "${plain[@]}" 2>/dev/null || true
  fi
  if [[ -x $HOME_DIRECTORY/.venv/bin/python ]]; then
    if running; then "$HOME_DIRECTORY/wherry" agent remove || say "some pods could not be ended: see above"; fi
  fi
  ((${#found[@]} == 0)) || rm -f "${found[@]/#/$UNITS/}"
  if running; then systemctl daemon-reload; fi
  rm -f /etc/modules-load.d/wherry.conf /etc/sysctl.d/90-wherry.conf /usr/local/bin/wherry
  local config=/etc/containerd/config.toml
  if grep -qs '^# wherry:' "$config"; then
    rm -f "$config"
    [[ ! -e $config.before-wherry ]] || mv "$config.before-wherry" "$config"
    if running; then systemctl restart containerd || true; fi
  fi
  rm -rf /etc/wherry /var/lib/wherry/machine /run/wherry/machine "$HOME_DIRECTORY"
  say "removed; packages stay"
}

main() {
  umask 022
  parse "$@"
  check_machine
  if [[ $ROLE == remove ]]; then
    remove
    return
  fi
  copy_program
  install_packages
  case $ROLE in
    server) install_server ;;
    agent | proxy) install_node ;;
  esac
}

main "$@"
