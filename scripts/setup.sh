#!/usr/bin/env bash
# Prepares .venv and the native module. Does nothing, and needs no network, when nothing has changed since the last time.
# setup.sh [dev]: with the tools that tests and lint need. PROFILE=release (default) or checked.
. "$(dirname "$0")/lib.sh"

kind=${1:-run}
python_stamp=$VENV/.stamp-python
native_stamp=$VENV/.stamp-native
want_python="$kind $PWD $(fingerprint requirements/run.txt requirements/dev.txt)"
want_native="$PROFILE $PWD $(fingerprint Cargo.toml Cargo.lock pyproject.toml native)"

have() { [ -f "$1" ] && cat "$1" || true; }
python_ready() { case "$(have $python_stamp)" in "$want_python"|"dev ${want_python#* }") true ;; *) false ;; esac; }
native_ready() { [ "$(have $native_stamp)" = "$want_native" ] && compgen -G 'shared/_native*.so' >/dev/null; }

python_ready && native_ready && exit 0
if python_ready; then scripts/doctor.sh --offline; else scripts/doctor.sh; fi

if ! python_ready; then
  say "installing Python packages into $VENV (once)"
  # Scripts in a .venv name its place: one that came from elsewhere, or was never finished, is made anew.
  case $(have $python_stamp) in *" $PWD "*) ;; *) "$PYTHON" -m venv --clear $VENV ;; esac
  files=(-r requirements/run.txt)
  [ "$kind" = dev ] && files=(-r requirements/dev.txt)
  $VENV/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes "${files[@]}"
  printf '%s' "$want_python" >$python_stamp
fi
if ! native_ready; then
  say "building the native core, profile $PROFILE (a few minutes the first time)"
  # maturin puts the module beside its stub in shared/ and makes .venv/bin/headrace run from this checkout.
  PIP_QUIET=1 VIRTUAL_ENV=$PWD/$VENV $VENV/bin/maturin develop --locked --profile "$PROFILE"
  printf '%s' "$want_native" >$native_stamp
fi
say "ready"
