#!/bin/sh
# Writes .env, which docker-compose.yml reads, with random secrets. Never replaces one.
set -eu
cd "$(dirname "$0")/.."
[ ! -e .env ] || { echo "there is an .env: its secrets are in use" >&2; exit 1; }
random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }
umask 077
cat >.env <<EOF
# The instance that exists from the start: its name and token are what senders and Grafana need.
HEADRACE_BOOTSTRAP_APP_ID=main
HEADRACE_BOOTSTRAP_TOKEN=$(random)

# For the admin API and \`headrace instances\`.
HEADRACE_ADMIN_TOKEN=$(random)
# What the processes show one another.
HEADRACE_CLUSTER_SECRET=$(random)
# Seals the tokens in the store. Keep a copy: without it no token can be shown again.
HEADRACE_KEY=$(random)
GRAFANA_ADMIN_PASSWORD=$(random)

# Where this machine serves. 0.0.0.0:9009 is every network; credentials then pass unencrypted unless something in front
# speaks TLS.
GATEWAY_PUBLISH=127.0.0.1:9009
PROMETHEUS_PUBLISH=127.0.0.1:9090
GRAFANA_PUBLISH=127.0.0.1:3000
EOF
echo "wrote .env" >&2
