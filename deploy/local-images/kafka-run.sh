#!/usr/bin/env bash
# As much of the official image's entrypoint as docker-compose.yml uses: KAFKA_A_B__C becomes the property a.b_c, and the
# data folder is formatted at the first start.
set -euo pipefail
properties=/opt/kafka/server.properties
while IFS='=' read -r name value; do
  case $name in
    KAFKA_HEAP_OPTS | KAFKA_OPTS) ;;
    KAFKA_*) name=${name#KAFKA_} name=${name//___/-} name=${name//__/$'\1'} name=${name//_/.} name=${name//$'\1'/_}
      printf '%s=%s\n' "${name,,}" "$value" ;;
  esac
done < <(env) >$properties
# shellcheck disable=SC2086  # several options in one variable
run() { local main=$1; shift; exec java ${KAFKA_HEAP_OPTS:--Xmx512m} ${KAFKA_OPTS:-} -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp '/opt/kafka/libs/*' "$main" "$@"; }
(run kafka.tools.StorageTool format --ignore-formatted --cluster-id "$CLUSTER_ID" --config $properties)
run kafka.Kafka $properties
