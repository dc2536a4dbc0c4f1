# shellcheck shell=bash disable=SC2034  # its variables are for the scripts that read it
# Shared by the scripts beside it. Paths are relative to the project's root.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
die() { printf '\033[31merror:\033[0m %s\n' "$*" >&2; exit 1; }

PYTHON=${PYTHON:-python3}
PROFILE=${PROFILE:-release}
VENV=.venv

# What the installed parts were made from: one line that changes when any of it does.
fingerprint() {
  { for f in "$@"; do
      if [ -d "$f" ]; then find "$f" -type f \( -name '*.rs' -o -name '*.toml' \) -print0 | sort -z | xargs -0 cat; else cat "$f"; fi
    done; } | cksum | tr ' ' '-'
}
