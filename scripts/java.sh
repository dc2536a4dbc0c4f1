#!/usr/bin/env bash
# Fetches Prometheus's client for Java, with which a test pushes, from Maven Central into .tools/java; requirements/java/pom.xml
# pins it. Does nothing when it is there. Exits 1, saying why, where it cannot be had.
. "$(dirname "$0")/lib.sh"

pom=requirements/java/pom.xml
stamp=.tools/java/.stamp
want=$(fingerprint $pom)
[ "$(cat $stamp 2>/dev/null)" = "$want" ] && exit 0

java --list-modules 2>/dev/null | grep -q '^jdk\.compiler' || die "no java with a compiler, which runs the test's program: sudo apt-get install default-jdk-headless (17 or newer)"
command -v mvn >/dev/null || die "no mvn, which fetches Prometheus's client for Java: sudo apt-get install maven"
say "fetching Prometheus's client for Java (once, 3 MB)"
rm -rf .tools/java
mvn --quiet --batch-mode --file $pom dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$PWD/.tools/java/jars" >&2 ||
  die "Prometheus's client for Java could not be fetched"
printf '%s' "$want" >$stamp
