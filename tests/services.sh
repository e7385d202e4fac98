#!/bin/sh
# Installs the real servers that the suite runs against, on Debian with root; elsewhere says what is missing.
# With the word "viewer" also the browser, and npm, which fetches the viewer.
set -eu

# Triton's own server comes inside a Python package that wants an older NumPy than ours, so it has a folder to itself:
# nothing of the package is imported, only its server is started. Pinned by content.
triton="${XDG_CACHE_HOME:-$HOME/.cache}/overread-tests/nvidia-pytriton-0.7.0"
if [ ! -d "$triton" ] && [ "$(uname -sm)" = "Linux x86_64" ]; then
  python=.venv/bin/python && [ -x "$python" ] || python=python3
  echo "nvidia-pytriton==0.7.0 --hash=sha256:21f063ff93bb426d0c06b7a55e7eb9efcfe62c0dddd9a908e9877e18710128df" > "${TMPDIR:-/tmp}/overread-triton.$$"
  echo "fetching the Triton server"
  "$python" -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
    --target "$triton.new.$$" -r "${TMPDIR:-/tmp}/overread-triton.$$" && mv "$triton.new.$$" "$triton" \
    || echo "missing, left out -- Triton: tests marked triton (nets on a server)"
  rm -rf "${TMPDIR:-/tmp}/overread-triton.$$" "$triton.new.$$"
fi

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
need java default-jre-headless "Java: tests marked pixelmed (IHE's validator of reports)"
[ -e /usr/share/java/pixelmed.jar ] || missing="$missing libpixelmed-java|PixelMed: tests marked pixelmed (IHE's validator of reports);"
if [ "${1:-}" = viewer ]; then
  need chromium chromium "Chromium: the tests in tests/viewer"
  need npm npm "npm: the tests in tests/viewer"
fi
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
