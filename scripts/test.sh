#!/usr/bin/env bash
# Sets up what the tests need and runs them all: Rust on the checked profile, then pytest, whose closing line comes last.
# test.sh [pytest arguments]: with arguments only pytest runs.
. "$(dirname "$0")/lib.sh"
export PROFILE=checked
scripts/setup.sh dev
if ! scripts/tools.sh prometheus prometheus-node-exporter prometheus-pushgateway; then
  [ "${CI:-}" != true ] || die "in CI the tests against real servers must run"
  say "WITHOUT Debian's prometheus, node-exporter and pushgateway: every test that compares with them will be SKIPPED"
fi
# redis-tools holds the binary that redis-server links to; the libraries are those that a plain system may lack.
if ! scripts/tools.sh redis-server redis-tools libjemalloc2 liblzf1 libatomic1; then
  [ "${CI:-}" != true ] || die "in CI the tests against a real Redis must run"
  say "WITHOUT Debian's redis-server: every test of the store on Redis will be SKIPPED"
fi
if ! scripts/tools.sh nginx libpcre2-8-0; then
  [ "${CI:-}" != true ] || die "in CI the tests of the gateway must run"
  say "WITHOUT Debian's nginx: every test of the gateway will be SKIPPED"
fi
if ! scripts/kafka.sh; then
  [ "${CI:-}" != true ] || die "in CI the tests against a real Kafka must run"
  say "WITHOUT a Kafka broker: every test of the log on Kafka will be SKIPPED"
fi
if ! scripts/java.sh; then
  [ "${CI:-}" != true ] || die "in CI the test of pushes from Java must run"
  say "WITHOUT Prometheus's client for Java: the test that pushes with it will be SKIPPED"
fi
if [ $# -eq 0 ]; then
  say "Rust tests"
  cargo test --locked --quiet --profile checked -p headrace-core
fi
say "Python tests"
exec $VENV/bin/python -m pytest "$@"
