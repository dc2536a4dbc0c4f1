#!/usr/bin/env bash
# Formatting, lint, types, the stub against the module, import contracts. Warnings are errors.
. "$(dirname "$0")/lib.sh"
PROFILE=checked scripts/setup.sh dev

bin=$VENV/bin
failed=()
step() { say "$1"; shift; "$@" || failed+=("$*"); }
step "rustfmt" cargo fmt --all --check
step "clippy" cargo clippy --locked --workspace --all-targets --profile checked -- -D warnings
step "ruff format" $bin/ruff format --check .
step "ruff" $bin/ruff check .
step "mypy" $bin/mypy
step "stubtest" $bin/python -m mypy.stubtest shared._native
step "import contracts" $bin/lint-imports
[ ${#failed[@]} -eq 0 ] || die "failed: $(printf '\n  %s' "${failed[@]}")"
