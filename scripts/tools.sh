#!/usr/bin/env bash
# Fetches the servers that tests compare with from Debian's archive into .tools/, without touching the system: private apt
# directories, `dpkg -x`. tools.sh PACKAGE...; exits 1, saying why, where they cannot be had.
. "$(dirname "$0")/lib.sh"

tools=$PWD/.tools
wanted=()
for package in "$@"; do
  version=$(awk -v p="$package" '$1 == p { print $2 }' requirements/debian.txt)
  [ -n "$version" ] || die "requirements/debian.txt names no version of $package"
  [ -e "$tools/.have-$package-$version" ] || wanted+=("$package=$version")
done
[ ${#wanted[@]} -gt 0 ] || exit 0

{ command -v apt-get && command -v dpkg; } >/dev/null || die "apt-get and dpkg are needed to fetch ${wanted[*]} (a Debian or Ubuntu machine)"
mkdir -p "$tools"/apt/{state/lists/partial,cache/archives/partial,deb}
touch "$tools/apt/status"
options=(-o Dir::State="$tools/apt/state" -o Dir::State::status="$tools/apt/status" -o Dir::Cache="$tools/apt/cache"
         -o APT::Sandbox::User=root -o Debug::NoLocking=1 -o Acquire::Languages=none)
if ! compgen -G "$tools/apt/state/lists/*Packages*" >/dev/null; then
  say "reading Debian's package lists"
  apt-get "${options[@]}" -qq update || die "Debian's archive could not be reached"
fi
for one in "${wanted[@]}"; do
  package=${one%%=*}
  say "fetching $one"
  rm -f "$tools/apt/deb/${package}"_*.deb
  if ! (cd "$tools/apt/deb" && apt-get "${options[@]}" -qq download "$one" 2>/dev/null); then
    say "$one is no longer in the archive; taking the version that is (update requirements/debian.txt)"
    apt-get "${options[@]}" -qq update
    (cd "$tools/apt/deb" && apt-get "${options[@]}" -qq download "$package") || die "$package could not be fetched"
  fi
  dpkg -x "$tools/apt/deb/${package}"_*.deb "$tools"
  touch "$tools/.have-$package-${one#*=}"
done
