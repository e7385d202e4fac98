#!/bin/sh
# Starts Redis with a password from the environment, so that it stands neither in a file of the image nor on a command
# line that every process can read. One user, without the commands that reconfigure or empty the server.
set -eu
: "${REDIS_PASSWORD:?}"
here=$(dirname "$0")
run=${REDIS_RUN:-/run/redis}
umask 077
{
  cat "$here/redis.conf"
  printf 'user default on >%s ~* &* +@all -@admin -@dangerous -@scripting +evalsha +script|load +script|exists +info +role\n' "$REDIS_PASSWORD"
} > "$run/redis.conf"
exec redis-server "$run/redis.conf" --dir "${REDIS_DATA:-/data}" "$@"
