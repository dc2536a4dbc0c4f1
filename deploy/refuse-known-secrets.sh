#!/bin/sh
# Run by the gateway's entrypoint: secrets that stand in docker-compose.yml must not serve other machines.
case $PUBLISHED in
  127.*:* | localhost:* | "[::1]:"*) exit 0 ;;
esac
case $SECRETS in
  *play-only*)
    echo "The gateway would be published at $PUBLISHED with secrets that everybody knows: make an .env with deploy/make-env.sh." >&2
    exit 1
    ;;
esac
