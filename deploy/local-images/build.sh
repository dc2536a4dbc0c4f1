#!/usr/bin/env bash
# Builds stand-ins for the images that docker-compose.yml and the Dockerfile name, for machines that reach package
# registries but no image registry. docs/operations.md says how to go on from here. Needs root, podman, debootstrap and
# rustup's stable toolchain; for kafka also scripts/kafka.sh.
# build.sh [IMAGE...]: those named, else all: python rust kafka redis nginx prometheus.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"

mirror=${DEBIAN_MIRROR:-$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources} 2>/dev/null |
  sed -nE 's#^(URIs: *|deb +)(https?://[^ ]+/debian/?)( .*)?$#\2#p' | head -n 1 || true)}
[ -n "$mirror" ] || die "apt's sources name no Debian mirror: set DEBIAN_MIRROR"
toolchain=${RUST_TOOLCHAIN_DIR:-$(rustc --print sysroot)}

# asked NAME: what is asked for under this name, with its tag.
asked() { sed -nE "s#^ *(image: |FROM )($1:[A-Za-z0-9._-]+).*#\2#p" docker-compose.yml Dockerfile | head -n 1; }

# debian SUITE: a minimal Debian as an image, made once.
debian() {
  ! podman image exists "headrace-debian:$1" || return 0
  say "Debian $1"
  local folder script=
  folder=$(mktemp -d)
  # testing's script makes any suite that this debootstrap has not heard of.
  [ -e "/usr/share/debootstrap/scripts/$1" ] || script=testing
  debootstrap --variant=minbase --include=ca-certificates "$1" "$folder/root" "$mirror" $script >"$folder/log" || die "see $folder/log"
  # This machine's certificates: it may reach the registries through a proxy of its own.
  cp -L /etc/ssl/certs/ca-certificates.crt "$folder/root/etc/ssl/certs/"
  # A mirror may be a snapshot, whose lists have run out.
  echo 'Acquire::Check-Valid-Until "false";' >"$folder/root/etc/apt/apt.conf.d/99snapshot"
  rm -rf "$folder"/root/var/cache/apt/archives/*.deb "$folder"/root/var/lib/apt/lists/*
  tar -C "$folder/root" -c . | podman import - "headrace-debian:$1"
  rm -rf "$folder"
}

debian bookworm
debian forky
[ $# -gt 0 ] || set -- python rust kafka redis nginx prometheus
for target in "$@"; do
  context=deploy/local-images options=()
  case $target in
    rust) context=$toolchain ;;
    kafka) scripts/kafka.sh && options=(--volume "$PWD/.tools/kafka:/from:ro") ;;
  esac
  case $target in kafka) name=apache/kafka ;; prometheus) name=prom/prometheus ;; *) name=$target ;; esac
  tag=$(asked "$name")
  [ -n "$tag" ] || die "nothing asks for an image $name"
  say "$tag"
  podman build --network host --file "deploy/local-images/$target.Containerfile" "${options[@]}" --tag "$tag" "$context"
done
