#!/bin/sh
# As much of the official image's entrypoint as docker-compose.yml uses: scripts, the machine's resolver, templates.
set -e
for script in /docker-entrypoint.d/*.sh; do
  [ ! -x "$script" ] || "$script"
done
if [ -n "$NGINX_ENTRYPOINT_LOCAL_RESOLVERS" ]; then
  NGINX_LOCAL_RESOLVERS=$(awk 'BEGIN { ORS = " " } $1 == "nameserver" { print $2 }' /etc/resolv.conf)
  export NGINX_LOCAL_RESOLVERS
fi
names=$(env | cut -d= -f1 | grep -E "${NGINX_ENVSUBST_FILTER:-.}" | sed 's/.*/${&}/' | tr '\n' ' ')
for template in /etc/nginx/templates/*.template; do
  made=${NGINX_ENVSUBST_OUTPUT_DIR:-/etc/nginx/conf.d}/$(basename "$template" .template)
  envsubst "$names" <"$template" >"$made"
done
exec "$@"
