#!/usr/bin/env bash
# Checks what a build needs and lists everything that is missing in one message, with a command for each.
# doctor.sh [--offline]: without the network check.
. "$(dirname "$0")/lib.sh"

missing=()
need() { missing+=("$1"$'\n'"      $2"); }

[ -r /proc/self/stat ] || need "Linux (this is $(uname -s))" "run it in a container or a virtual machine"

if ! version=$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null); then
  need "Python 3.11, 3.12 or 3.13 (no '$PYTHON' was found)" "Debian, Ubuntu: sudo apt-get install python3 python3-venv"
else
  case $version in
    3.11|3.12|3.13) "$PYTHON" -c 'import venv, ensurepip' 2>/dev/null || need "Python's venv module" "sudo apt-get install python3-venv" ;;
    *) need "Python 3.11, 3.12 or 3.13 ('$PYTHON' is $version)" "install one and name it: make run PYTHON=python3.13" ;;
  esac
fi

msrv=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
if ! have=$(cargo --version 2>/dev/null); then
  need "Rust $msrv or newer (no cargo was found)" "Debian 13, Ubuntu 24.04: sudo apt-get install rustup && rustup default stable    elsewhere see https://rustup.rs"
else
  have=$(printf '%s' "$have" | cut -d' ' -f2)
  [ "$(printf '%s\n%s\n' "$msrv" "$have" | sort -V | head -n 1)" = "$msrv" ] || need "Rust $msrv or newer (cargo is $have)" "rustup update stable"
fi

command -v cc >/dev/null 2>&1 || need "a C compiler and linker (cc)" "Debian, Ubuntu: sudo apt-get install gcc libc6-dev"

free_mb=$(df -Pm . | awk 'NR == 2 { print $4 }')
[ "$free_mb" -ge 2000 ] || need "2 GB of free disk here (there are $free_mb MB)" "free some, or clone onto another disk"

# Only where pip is at hand before the venv is made; else the install itself says what it could not reach.
if [ "${1:-}" != --offline ] && "$PYTHON" -c 'import pip' 2>/dev/null; then
  tmp=$(mktemp -d)
  timeout 90 "$PYTHON" -m pip download --quiet --disable-pip-version-check --no-deps --retries 1 --timeout 20 -d "$tmp" annotated-types==0.8.0 >/dev/null 2>&1 ||
    need "the Python package index (pip could not download a small package)" "check the network or the proxy; once everything is built, no network is needed"
  rm -rf "$tmp"
fi

if [ ${#missing[@]} -gt 0 ]; then
  printf '\nHeadrace cannot be built yet. Missing:\n\n' >&2
  for m in "${missing[@]}"; do printf '  - %s\n' "$m" >&2; done
  printf '\n' >&2
  exit 1
fi
