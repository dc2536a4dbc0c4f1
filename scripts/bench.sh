#!/usr/bin/env bash
# Headrace beside Debian's Prometheus and VictoriaMetrics on the same load, in one run.
# bench.sh [small|medium|big|jitter|real|recovery|push|remote-write|growth|cluster[:SCENARIO]]...; default: small. Results go to
# .bench/results/NAME/results.md; `cluster` prints them. Its scenarios are the functions of tests/bench/cluster.py.
# BENCH_DIR: the folder of the black-box benchmark (run.py, dataset.py …); default ../shared/bench beside this checkout.
# BENCH_REAL: the recording for `real` and `remote-write`, zstd of [u32 length][snappy body]…; default ../shared/data/real.rw.zst.
. "$(dirname "$0")/lib.sh"
PROFILE=release scripts/setup.sh dev
scripts/tools.sh prometheus victoria-metrics
bench=${BENCH_DIR:-../shared/bench}
[ -f "$bench/run.py" ] || die "no benchmark in $bench: set BENCH_DIR"
export PATH="$PWD/.tools/usr/bin:$PATH"
export BENCH_HOME=${BENCH_HOME:-$PWD/.bench/home}
export BENCH_DIR=$bench
mkdir -p "$BENCH_HOME"
python=$PWD/$VENV/bin/python
token="bench-token-of-at-least-32-characters"

compare() { # NAME DATASET run.py-arguments...
  local name=$1 dataset=$2
  shift 2
  env HEADRACE_BOOTSTRAP_APP_ID=bench HEADRACE_BOOTSTRAP_TOKEN="$token" HEADRACE_ADMIN_TOKEN="$token" \
    "$python" "$bench/run.py" --dataset "$dataset" --backends "${BACKENDS:-prometheus,victoria,custom}" --name headrace \
    --cmd "$python -m headrace standalone --data {data} --listen 127.0.0.1:{port}" \
    --bearer "$token" --header "X-Headrace-Admin: $token" --flush-url /api/v1/admin/flush --nocache nocache=1 \
    --out ".bench/results/$name" "$@"
}

recording() { # prints the file that holds it unpacked
  local file=$BENCH_HOME/real.rw.raw
  [ -f "$file" ] || zstd -dqf "${BENCH_REAL:-../shared/data/real.rw.zst}" -o "$file"
  echo "$file"
}

for name in "${@:-small}"; do
  case $name in
    small) compare small small --ingest-reps 3 ;;
    medium) compare medium medium --ingest-reps 2 --reps 7 ;;
    big) compare big big --reps 3 ;;
    jitter)
      file=$BENCH_HOME/medium-jitter.rw
      [ -f "$file.meta.json" ] || "$python" "$bench/dataset.py" gen medium "$file" --jitter-ms 3 >&2
      compare jitter "$file" --no-queries ;;
    real)
      file=$BENCH_HOME/real.rw
      [ -f "$file.meta.json" ] || "$python" "$bench/dataset.py" real "$(recording)" "$file" >&2
      compare real "$file" --no-queries --ingest-reps 3 ;;
    recovery)
      "$python" -m tests.bench.recovery ;;
    push)
      "$python" -m tests.bench.push ;;
    remote-write)
      "$python" -m tests.bench.remote_write "$(recording)" ;;
    growth)
      "$python" -m tests.bench.growth docs/growth.svg ;;
    cluster | cluster:*)
      scripts/kafka.sh
      scripts/tools.sh redis-server redis-tools libjemalloc2 liblzf1 libatomic1 nginx libpcre2-8-0
      scenario=${name#cluster}
      "$python" -m tests.bench.cluster ${scenario:+"${scenario#:}"} ;;
    *) die "unknown benchmark '$name': small, medium, big, jitter, real, recovery, push, remote-write, growth or cluster" ;;
  esac
done
