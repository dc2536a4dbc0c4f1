#!/usr/bin/env bash
# Hurts a whole cluster on three brokers and a Redis with a replica while a load checks what it is promised.
# chaos.sh [--minutes N] [--seed N] [--steps a,b]. As root, with iproute2, a zone is cut off by its network, too.
export PROFILE=${PROFILE:-checked}
. "$(dirname "$0")/lib.sh"
scripts/setup.sh dev
scripts/tools.sh redis-server redis-tools libjemalloc2 liblzf1 libatomic1 nginx libpcre2-8-0
scripts/kafka.sh
exec $VENV/bin/python -m tests.chaos.cluster.run "$@"
