#!/usr/bin/env bash
# Headrace beside Debian's Prometheus and VictoriaMetrics on the same load.
# BENCH_DIR: the folder of the black-box benchmark (run.py, dataset.py …); default ../shared/bench beside this checkout.
# bench.sh [run.py arguments]: default `--dataset small`. Results go to .bench/.
. "$(dirname "$0")/lib.sh"
PROFILE=release scripts/setup.sh dev
scripts/tools.sh prometheus victoria-metrics
bench=${BENCH_DIR:-../shared/bench}
[ -f "$bench/run.py" ] || die "no benchmark in $bench: set BENCH_DIR"
export PATH="$PWD/.tools/usr/bin:$PATH"
export BENCH_HOME=${BENCH_HOME:-$PWD/.bench/home}
arguments=("$@")
[ $# -gt 0 ] || arguments=(--dataset small)
token=bench-token-of-at-least-32-characters
exec env HEADRACE_BOOTSTRAP_APP_ID=bench HEADRACE_BOOTSTRAP_TOKEN=$token HEADRACE_ADMIN_TOKEN=$token \
  $VENV/bin/python "$bench/run.py" --backends prometheus,victoria,custom --name headrace \
  --cmd "$PWD/$VENV/bin/headrace standalone --data {data} --listen 127.0.0.1:{port}" \
  --bearer $token --header "X-Headrace-Admin: $token" --flush-url /api/v1/admin/flush --nocache nocache=1 \
  --out .bench/results "${arguments[@]}"
