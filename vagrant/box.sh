#!/usr/bin/env bash
# Builds a Vagrant box for libvirt from Debian's packages alone (debootstrap), with what wherry needs already in it: for
# machines without a network to fetch a box from, and for emulation, where installing packages takes minutes.
set -euo pipefail

OUTPUT=wherry.box SUITE=bookworm SIZE=8G BARE=no
usage() {
  cat <<'TEXT'
usage: sudo vagrant/box.sh [--output wherry.box] [--suite bookworm] [--size 8G] [--bare]

  --bare    a plain Debian, without wherry and what it needs

  MIRROR    in the environment: a mirror of Debian, else the one of this machine's apt sources

example: sudo vagrant/box.sh && vagrant box add --name wherry/debian --provider libvirt wherry.box
         WHERRY_BOX=wherry/debian vagrant up
needs: debootstrap, fdisk, e2fsprogs, qemu-utils, root
TEXT
}
while (($#)); do
  case $1 in
    --bare) BARE=yes && shift && continue ;;
    -h | --help) usage && exit 0 ;;
  esac
  (($# >= 2)) || { usage >&2 && exit 2; }
  case $1 in
    --output) OUTPUT=$2 ;;
    --suite) SUITE=$2 ;;
    --size) SIZE=$2 ;;
    *) usage >&2 && exit 2 ;;
  esac
  shift 2
done
((EUID == 0)) || { printf 'Error: this needs root: run it again with sudo\n' >&2 && exit 1; }
for program in debootstrap sfdisk mkfs.ext4 qemu-img; do
  command -v "$program" >/dev/null ||
    { printf 'Error: %s is missing: apt-get install debootstrap fdisk e2fsprogs qemu-utils\n' "$program" >&2 && exit 1; }
done

# Debian's packages come from where this machine has its own, if that is a Debian.
if [[ -z ${MIRROR:-} ]]; then
  # shellcheck disable=SC2016  # apt fills the parentheses in
  MIRROR=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' 2>/dev/null |
    grep -m 1 -E '^https?://' || true)
fi
[[ -n $MIRROR ]] || {
  printf "Error: apt's sources here name no mirror of Debian (after apt-get update): say which, MIRROR=URL\n" >&2
  exit 1
}

SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
OUTPUT=$(realpath "$OUTPUT")
WORK=$(mktemp -d /var/tmp/wherry-box.XXXXXX)
ROOT=$WORK/root

finish() {
  local at
  for at in "$WORK/mounted/dev" "$WORK/mounted/proc" "$WORK/mounted/sys" "$WORK/mounted" "$ROOT/proc" "$ROOT/sys" "$ROOT/dev"; do
    if mountpoint -q "$at"; then umount "$at"; fi
  done
  rm -rf --one-file-system "$WORK"
}
trap finish EXIT

step() { printf '  %s\n' "$*"; }

system() {
  step "Debian $SUITE by debootstrap"
  local packages=systemd-sysv,systemd-resolved,dbus,udev,kmod,openssh-server,sudo,iproute2,iputils-ping,netbase,rsync
  packages+=,ca-certificates,python3,python3-venv,linux-image-cloud-amd64,initramfs-tools,extlinux,syslinux-common
  [[ $SUITE == bookworm ]] || packages=${packages/systemd-resolved,/}
  debootstrap --variant=minbase --include="$packages" "$SUITE" "$ROOT" "$MIRROR" >"$WORK/log" 2>&1 ||
    { tail -n 20 "$WORK/log" >&2 && exit 1; }
  # Whom this machine trusts besides (a proxy that looks into TLS) the machines behind it must trust, too.
  if [[ -n $(find /usr/local/share/ca-certificates -name '*.crt' -print -quit 2>/dev/null) ]]; then
    cp -a /usr/local/share/ca-certificates/. "$ROOT/usr/local/share/ca-certificates/"
    chroot "$ROOT" update-ca-certificates >"$WORK/log" 2>&1
  fi
  printf 'deb %s %s main\n' "$MIRROR" "$SUITE" >"$ROOT/etc/apt/sources.list"
  printf '/dev/vda1 / ext4 defaults,discard,noatime 0 1\n' >"$ROOT/etc/fstab"
  printf 'box\n' >"$ROOT/etc/hostname"
  printf '127.0.0.1 localhost\n127.0.1.1 box\n' >"$ROOT/etc/hosts"
  # networkd, not ifupdown: emulated, ifupdown costs nine seconds a boot and 45 when Vagrant sets the host's name.
  cat >"$ROOT/etc/systemd/network/10-eth0.network" <<'NETWORK'
[Match]
Name=eth0
[Network]
DHCP=ipv4
LinkLocalAddressing=no
IPv6AcceptRA=no
[DHCPv4]
ClientIdentifier=mac
NETWORK
  ln -sf /run/systemd/resolve/stub-resolv.conf "$ROOT/etc/resolv.conf"
  chroot "$ROOT" systemctl enable -q systemd-networkd systemd-resolved
  chroot "$ROOT" systemctl mask -q systemd-networkd-wait-online.service apt-daily.timer apt-daily-upgrade.timer \
    fstrim.timer e2scrub_all.timer dpkg-db-backup.timer man-db.timer 2>/dev/null || true
  # What looks for LVM's snapshots, for a firmware's crash logs and for a screen costs an emulated machine seconds each.
  chroot "$ROOT" systemctl mask -q e2scrub_reap.service systemd-pstore.service modprobe@efi_pstore.service \
    modprobe@drm.service
}

# The account and the key that Vagrant knows; it replaces the key at the first `up`.
account() {
  local key
  key=$(find /usr/share /opt -path '*keys/vagrant.pub' -print -quit 2>/dev/null || true)
  [[ -n $key ]] || { printf "Error: Vagrant's public key is not on this machine: apt-get install vagrant\n" >&2 && exit 1; }
  chroot "$ROOT" useradd -m -s /bin/bash vagrant
  printf 'vagrant:vagrant\n' | chroot "$ROOT" chpasswd
  printf 'vagrant ALL=(ALL) NOPASSWD:ALL\n' >"$ROOT/etc/sudoers.d/vagrant"
  chmod 440 "$ROOT/etc/sudoers.d/vagrant"
  install -d -m 700 "$ROOT/home/vagrant/.ssh"
  install -m 600 "$key" "$ROOT/home/vagrant/.ssh/authorized_keys"
  chroot "$ROOT" chown -R vagrant:vagrant /home/vagrant/.ssh
  printf 'UseDNS no\nGSSAPIAuthentication no\n' >"$ROOT/etc/ssh/sshd_config.d/vagrant.conf"
}

program() {
  [[ $BARE == no ]] || return 0
  step "wherry and what it needs"
  mkdir -p "$ROOT/root/checkout"
  tar -C "$SOURCE" --exclude=./.git --exclude=./.venv --exclude=./.vagrant --exclude=__pycache__ --exclude='./.*_cache' \
    --exclude='*.box' --exclude=./bundle --exclude=./tests -cf - . |
    tar -C "$ROOT/root/checkout" -xf -
  mv "$ROOT/etc/resolv.conf" "$WORK/resolv.conf"
  cp -L /etc/resolv.conf "$ROOT/etc/resolv.conf"
  mount -t proc proc "$ROOT/proc"
  mount --bind /dev "$ROOT/dev"
  # No daemon is started by its package in here.
  printf '#!/bin/sh\nexit 101\n' >"$ROOT/usr/sbin/policy-rc.d"
  chmod 755 "$ROOT/usr/sbin/policy-rc.d"
  chroot "$ROOT" /root/checkout/vagrant/install.sh program
  # A machine that becomes a node switches it on; others are spared its start.
  chroot "$ROOT" systemctl disable -q containerd.service
  rm -rf "$ROOT/usr/sbin/policy-rc.d" "$ROOT/root/.cache"
  # Where Vagrant copies the checkout to: it then sends what has changed since.
  mv "$ROOT/root/checkout" "$ROOT/vagrant"
  umount "$ROOT/proc" "$ROOT/dev"
  mv "$WORK/resolv.conf" "$ROOT/etc/resolv.conf"
}

initramfs() {
  sed -i 's/^MODULES=.*/MODULES=list/; s/^COMPRESS=.*/COMPRESS=gzip/' "$ROOT/etc/initramfs-tools/initramfs.conf"
  printf 'virtio_pci\nvirtio_blk\next4\n' >"$ROOT/etc/initramfs-tools/modules"
  chroot "$ROOT" env PATH=/usr/sbin:/usr/bin:/sbin:/bin update-initramfs -u -k all >"$WORK/log" 2>&1 ||
    { tail -n 20 "$WORK/log" >&2 && exit 1; }
}

tidy() {
  rm -rf "$ROOT"/var/cache/apt/archives/*.deb "$ROOT"/var/lib/apt/lists/* "$ROOT/var/lib/dbus/machine-id"
  : >"$ROOT/etc/machine-id"
}

# One partition, filled by mkfs itself; only the boot loader's own files need it mounted.
disk() {
  step "disk"
  local raw=$WORK/box.raw bytes kernel
  truncate -s "$SIZE" "$raw"
  bytes=$(stat -c %s "$raw")
  printf 'start=2048, type=83, bootable\n' | sfdisk -q "$raw"
  mkfs.ext4 -q -F -L root -O '^64bit,^metadata_csum' -d "$ROOT" -E offset=1048576 "$raw" "$(((bytes - 1048576) / 1024 - 1024))k"
  dd if="$ROOT/usr/lib/EXTLINUX/mbr.bin" of="$raw" conv=notrunc bs=440 count=1 status=none
  mkdir "$WORK/mounted"
  mount -o loop,offset=1048576 "$raw" "$WORK/mounted"
  kernel=$(find "$WORK/mounted/lib/modules" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort -V | tail -n 1)
  mkdir -p "$WORK/mounted/boot/extlinux"
  # What guards processes from each other against a processor's faults costs an emulated one, which has none, much time.
  cat >"$WORK/mounted/boot/extlinux/extlinux.conf" <<BOOT
DEFAULT linux
PROMPT 0
TIMEOUT 0
LABEL linux
  LINUX /boot/vmlinuz-$kernel
  INITRD /boot/initrd.img-$kernel
  APPEND root=/dev/vda1 ro console=ttyS0 net.ifnames=0 mitigations=off quiet
BOOT
  mount --bind /dev "$WORK/mounted/dev"
  mount -t proc proc "$WORK/mounted/proc"
  mount -t sysfs sys "$WORK/mounted/sys"
  chroot "$WORK/mounted" extlinux --install /boot/extlinux >"$WORK/log" 2>&1 || { cat "$WORK/log" >&2 && exit 1; }
  umount "$WORK/mounted/dev" "$WORK/mounted/proc" "$WORK/mounted/sys" "$WORK/mounted"
}

pack() {
  mkdir "$WORK/pack"
  qemu-img convert -f raw -O qcow2 "$WORK/box.raw" "$WORK/pack/box.img"
  printf '{"provider": "libvirt", "format": "qcow2", "virtual_size": %d}\n' "$(($(stat -c %s "$WORK/box.raw") >> 30))" \
    >"$WORK/pack/metadata.json"
  printf 'Vagrant.configure("2") {}\n' >"$WORK/pack/Vagrantfile"
  tar -C "$WORK/pack" -cf - metadata.json Vagrantfile box.img | gzip -1 >"$OUTPUT"
  step "$OUTPUT: $(du -h "$OUTPUT" | cut -f1)"
}

system
account
program
initramfs
tidy
disk
pack
