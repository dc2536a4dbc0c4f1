#!/usr/bin/env bash
# Fetches the Kafka broker that tests run, from Maven Central into .tools/kafka; requirements/kafka/pom.xml pins it. Does nothing
# when it is there. Exits 1, saying why, where it cannot be had.
. "$(dirname "$0")/lib.sh"

pom=requirements/kafka/pom.xml
stamp=.tools/kafka/.stamp
want=$(fingerprint $pom)
[ "$(cat $stamp 2>/dev/null)" = "$want" ] && exit 0

java -version >/dev/null 2>&1 || die "no java, which runs the Kafka broker of the tests: sudo apt-get install default-jre-headless (17 or newer)"
command -v mvn >/dev/null || die "no mvn, which fetches the Kafka broker of the tests: sudo apt-get install maven"
say "fetching the Kafka broker for tests (once, 45 MB)"
rm -rf .tools/kafka
mvn --quiet --batch-mode --file $pom dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$PWD/.tools/kafka/jars" >&2 ||
  die "the Kafka broker could not be fetched"
printf '%s' "$want" >$stamp
