#!/usr/bin/env bash
# provision.sh CHECKOUT VENV WORK CGROUP [BASE [foreign]]: in namespaces of its own (network, mounts, pids), a root that is this
# machine's seen through an overlay, with nothing of wherry in it (or BASE, where `install.sh program` has run);
# vagrant/install.sh makes a control plane and a node of it, then the units' commands are started as systemd would. With
# `foreign` the control plane knows nothing of nodes of ours: no cluster-info, no roles, nobody who approves. What the
# test looks at goes to stdout, the rest to stderr.
set -euo pipefail
CHECKOUT=$1 VENV=$2 WORK=$3 CGROUP=$4 BASE=${5:-} FOREIGN=${6:-}
ADDRESS=192.168.56.10 TOKEN=abcdef.0123456789abcdef

if [[ -z ${INSIDE:-} ]]; then
  mount -t tmpfs tmpfs "$WORK"
  mkdir "$WORK/upper" "$WORK/work" "$WORK/root" "$WORK/containerd"
  mount -t overlay overlay -o "lowerdir=${BASE:-/},upperdir=$WORK/upper,workdir=$WORK/work" "$WORK/root"
  cd "$WORK/root"
  mount -t proc proc proc
  mount --rbind /sys sys
  mount --rbind /dev dev
  mount -t tmpfs tmpfs run
  rm -rf var/lib/wherry var/lib/containerd var/log/pods etc/wherry etc/containerd/config.toml opt/cni etc/cni
  mkdir -p var/lib/containerd etc/systemd/system run/old
  # An overlay cannot hold another's upper layer.
  mount --bind "$WORK/containerd" var/lib/containerd
  if [[ -n $BASE ]]; then
    mkdir -p ".$CHECKOUT"
    mount --bind "$CHECKOUT" ".$CHECKOUT"
  else
    # The environment that this test runs in serves: what pip does is tests/test_bootstrap.py's.
    rm -rf opt/wherry
    mkdir opt/wherry
    ln -s "$VENV" opt/wherry/.venv
  fi
  # Not chroot alone: a container's root would be the real one's.
  pivot_root . run/old
  umount -l run/old
  exec env -i INSIDE=yes PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 bash "$0" "$@"
fi

ip link set lo up
ip link add whtp type bridge
ip address add "$ADDRESS/24" dev whtp
ip link set whtp up
ip route add default via 192.168.56.1 dev whtp onlink

answer() { printf '%s: %s\n' "$1" "$2"; }
unit() { # as ExecStart says
  local argv
  read -ra argv < <(sed -n 's/^ExecStart=//p' "/etc/systemd/system/wherry-$1.service")
  exec "${argv[@]}" >"/run/$1.log" 2>&1
}
finish() { [[ $1 == 0 ]] || tail -n 15 /run/*.log >&2; }
trap 'finish $?' EXIT

server=("$CHECKOUT/vagrant/install.sh" server --address "$ADDRESS" --token fedcba.0123456789abcdef)
if [[ -n $FOREIGN ]]; then
  # What kubeadm binds.
  grep -E '^clusterrolebinding (kubeadm:cluster-admins|wherry:kubelet-client) ' "$CHECKOUT/lab/policy.txt" >/root/policy.txt
  server+=(--set 'apiserver={policy_file: /root/policy.txt}' --set 'controllers={approve_kubelet_serving: false}')
fi
kubectl() { command kubectl --kubeconfig /var/lib/wherry/machine/kubeconfig "$@"; }
written=(/etc/wherry /etc/systemd/system /etc/sysctl.d /etc/modules-load.d)
"${server[@]}" >&2
before=$(find "${written[@]}" -printf '%p %T@ %i\n' | sort)
"${server[@]}" >&2
[[ $before == "$(find "${written[@]}" -printf '%p %T@ %i\n' | sort)" ]] && answer repeated unchanged

(unit prepare)
for daemon in apiserver scheduler controllers; do unit "$daemon" & done
agent=("$CHECKOUT/vagrant/install.sh" agent --node-name one --set "agent={cgroup_root: /$CGROUP}")
if [[ -z $FOREIGN ]]; then
  wherry server publish >&2
  answer join "$(wherry server token create "$TOKEN" --hours 1)"
  answer tokens "$(wherry server token list | awk '{ print $1, ($2 == "never" ? $2 : "ends") }' | sort | paste -sd,)"
  agent+=(--server "https://$ADDRESS:6443" --token "$TOKEN")
else
  until kubectl get --raw /readyz >&2; do sleep 0.5; done
  PYTHONPATH=/opt/wherry /opt/wherry/.venv/bin/python - "https://$ADDRESS:6443" <<'MAKE'
import sys
from pathlib import Path
from apimachinery import kubeconfig, pki

files = Path("/var/lib/wherry/machine/pki")
ca = pki.KeyPair((files / "ca.crt").read_bytes(), (files / "ca.key").read_bytes())
pair = pki.issue(ca, "system:node:one", organizations=("system:nodes",), client=True)
known = kubeconfig.Cluster(sys.argv[1], ca=ca.cert_pem, cert=pair.cert_pem, key=pair.key_pem)
kubeconfig.write(Path("/root/node.kubeconfig"), known, "node")
MAKE
  agent+=(--kubeconfig /root/node.kubeconfig)
  # What the page tells people to do there.
  while read -ra words; do "${words[@]}" >&2; done < <(grep '^kubectl create clusterrole' "$CHECKOUT/docs/vagrant.md")
  while sleep 0.5; do
    for request in $(kubectl get csr -o name); do kubectl certificate approve "$request" >&2; done
  done &
  # Services alone.
  "$CHECKOUT/vagrant/install.sh" proxy --kubeconfig /root/node.kubeconfig --node-name one >&2
  answer units "$(find /etc/systemd/system/multi-user.target.wants \( -name 'wherry-agent.*' -o -name 'wherry-proxy.*' \) -printf %f)"
  unit proxy &
  alone=$!
  until kubectl --server https://10.96.0.1 --request-timeout 2s get --raw /livez >/run/livez 2>/run/livez.log; do sleep 0.5; done
  answer alone "$(cat /run/livez)"
  kill "$alone"
  wait "$alone" || true
fi
"${agent[@]}" >&2
answer hostnet "$(systemctl is-enabled wherry-hostnet.service || true)"
# Where the machine lacks CAP_SYS_RESOURCE no sandbox starts otherwise.
if ((($((16#$(awk '/CapEff/ { print $2 }' /proc/self/status))) >> 24 & 1) == 0)); then
  sed -i 's/sandbox_image/restrict_oom_score_adj = true\n  &/' /etc/containerd/config.toml
fi
containerd >/run/containerd.log 2>&1 &
started=()
for daemon in agent proxy; do
  unit "$daemon" &
  started+=($!)
done
wherry agent wait --seconds 60 >&2

answer requests "$(kubectl get csr -o jsonpath='{range .items[*]}{.spec.signerName} {.spec.username} {.status.conditions[*].type},{end}')"
kubectl run web --image wherry.local/busybox:1 --command -- sh -c 'hostname >/www/index.html; trap "echo told; exit" TERM; httpd -f -h /www & wait' >&2
kubectl expose pod web --port 80 >&2
kubectl wait --for=condition=Ready pod/web --timeout=60s >&2
# Through the API server to the agent, whose certificate it checks.
answer exec "$(kubectl exec web -- hostname)"
VIP=$(kubectl get service web -o jsonpath='{.spec.clusterIP}')
answer vip "$(curl -s --max-time 5 --retry 20 --retry-connrefused --retry-max-time 30 "http://$VIP/")"
answer name "$(kubectl exec web -- nslookup web.default.svc.cluster.local | awk '/^Address/ { found = $NF } END { print found }')"
answer expected "$VIP"
[[ -n $FOREIGN ]] || wherry server token delete abcdef >&2
answer revoked "$(curl -sk -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $TOKEN" "https://$ADDRESS:6443/api")"
answer refused "$(grep -c 'component refused' /run/apiserver.log || true)"
answer due "$(wherry agent due >&2 || echo none)"
kill "${started[@]}"
wait "${started[@]}" || true
wherry agent end-pods >&2
answer told "$(cat /var/log/pods/*_web_*/*/*.log | cut -d ' ' -f 4-)"
shims() { grep -l 'containerd-shi[m]' /proc/[0-9]*/cmdline 2>/dev/null; }
export -f shims
answer shims "$(timeout 10 bash -c 'while shims; do sleep 0.1; done' >&2 && echo none)"
wherry agent remove >&2
answer pods "$(ctr -n k8s.io containers ls -q | wc -l)"
answer rules "$(nft list tables | grep wherry || true)"
