#!/bin/sh
# As much of the official image's entrypoint as docker-compose.yml uses: scripts to source, then templates.
set -e
for script in /docker-entrypoint.d/*.envsh; do
  # shellcheck disable=SC1090  # whatever is mounted there
  [ ! -x "$script" ] || . "$script"
done
names=$(env | cut -d= -f1 | grep -E "${NGINX_ENVSUBST_FILTER:-.}" | sed 's/.*/${&}/' | tr '\n' ' ')
for template in /etc/nginx/templates/*.template; do
  made=${NGINX_ENVSUBST_OUTPUT_DIR:-/etc/nginx/conf.d}/$(basename "$template" .template)
  envsubst "$names" <"$template" >"$made"
done
exec "$@"
