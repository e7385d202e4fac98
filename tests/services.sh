#!/bin/sh
# Installs the real servers that the suite runs against, on Debian with root; elsewhere says what is missing.
set -eu

missing=""
need() { # command, Debian package, the tests that are left out without it
  command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || missing="$missing $2|$3;"
}
need Orthanc orthanc "Orthanc: tests marked orthanc (auto-routing, storage commitment)"
need storescp dcmtk "DCMTK: tests marked dcmtk (dsrdump, storescu, compressed transfer syntaxes)"
need redis-server redis-server "Redis: tests marked redis (a broker by URL)"
need strace strace "strace: tests of the order of fsync and answer"
need rabbitmq-server rabbitmq-server "RabbitMQ: tests marked rabbitmq (a broker by amqp URL)"
[ -n "$(ls /usr/lib/postgresql/*/bin/initdb 2>/dev/null)" ] || missing="$missing postgresql|PostgreSQL: tests marked postgres;"
[ -z "$missing" ] && exit 0

packages=$(printf '%s' "$missing" | tr ';' '\n' | sed -n 's/^ *\([^|]*\)|.*/\1/p' | tr '\n' ' ')
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  echo "installing from the distribution: $packages"
  apt-get update -qq
  # The tests start private servers of their own, so none of the distribution's may be started here.
  printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d.overread && chmod +x /usr/sbin/policy-rc.d.overread
  [ -e /usr/sbin/policy-rc.d ] || { mv /usr/sbin/policy-rc.d.overread /usr/sbin/policy-rc.d; trap 'rm -f /usr/sbin/policy-rc.d' EXIT; }
  rm -f /usr/sbin/policy-rc.d.overread
  # shellcheck disable=SC2086  # a list of packages
  DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -qq -y --no-install-recommends \
    $packages orthanc-python orthanc-dicomweb >/dev/null
  exit 0
fi
printf '%s' "$missing" | tr ';' '\n' | sed -n 's/^ *[^|]*|\(.*\)/missing, left out -- \1/p'
