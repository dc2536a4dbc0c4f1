#!/usr/bin/env bash
# Pins requirements/*.in with hashes, for Python 3.11 and newer on any platform.
. "$(dirname "$0")/lib.sh"
"$PYTHON" -m venv .tools/lock
.tools/lock/bin/pip install --quiet uv
for name in run dev; do
  .tools/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
    --no-header --no-annotate requirements/$name.in -o requirements/$name.txt
done
