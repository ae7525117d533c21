#!/usr/bin/env bash
# Makes everything that a make target needs, and does nothing at all when it is there already.
#
#   scripts/setup.sh demo     what the demo runs with: .venv with the collector's pinned packages, mosquitto
#   scripts/setup.sh test     the above, the development tools, and the servers that the tests start
#   scripts/setup.sh bench    the above, and what the agent is measured against
#
# Talks on standard error only, so that `make demo ARGS=--json` prints nothing but JSON. Ends with 2 and one line
# that says what to do when something is missing that it may not install itself. Packages come from wherever pip and
# apt are configured to get them; the versions are pinned with hashes in requirements/.
set -euo pipefail
exec 1>&2
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH=$PATH:/usr/sbin:/sbin # where Debian keeps servers, outside an ordinary user's PATH

level=${1:-demo}
case $level in
demo) requirements=(requirements/collector.txt requirements/build.txt) ;;
test | bench) requirements=(requirements/dev.txt) ;;
*) echo "usage: scripts/setup.sh demo|test|bench" && exit 2 ;;
esac

stop() {
  echo "caretaker: $*"
  exit 2
}

# --- Python -----------------------------------------------------------------------------------------------------
find_python() {
  local candidate
  for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  return 1
}

packages=()
need() { # need PROGRAMME PACKAGE
  command -v "$1" >/dev/null || packages+=("$2")
}

venv_python=.venv/bin/python
if ! "$venv_python" -c 'import pip' 2>/dev/null; then
  python=$(find_python) || stop "Python 3.11 or newer is needed: apt-get install python3 python3-venv"
  # Debian leaves ensurepip out of python3; without it a virtual environment has no pip.
  "$python" -c 'import ensurepip' 2>/dev/null || packages+=(python3-venv)
fi

# --- Debian packages --------------------------------------------------------------------------------------------
# WeasyPrint draws the review pack with Pango, and needs a font that has what a name may hold.
libraries=$(ldconfig -p 2>/dev/null || true)
need_library() { # need_library FILE PACKAGE
  [[ $libraries == *"$1"* ]] || packages+=("$2")
}
need_font() { # need_font FAMILY PACKAGE
  fc-list -q ":family=$1" 2>/dev/null || packages+=("$2")
}

need mosquitto mosquitto
need_library libpango-1.0.so.0 libpango-1.0-0
need_library libpangoft2-1.0.so.0 libpangoft2-1.0-0
need fc-list fontconfig
need_font "DejaVu Sans" fonts-dejavu-core
if [ "$level" != demo ]; then
  need influxd influxdb
  need nginx nginx-light
  need openssl openssl
  need npm npm
  need strace strace
  need systemd-analyze systemd
  need ip iproute2
  need unshare util-linux
  need mount mount
  need dbus-daemon dbus-daemon
  need chromium chromium
  need pdftotext poppler-utils
fi
if [ "$level" = bench ]; then
  need prometheus-node-exporter prometheus-node-exporter
fi

# Caretaker starts servers itself, as children on loopback. Debian would start and enable them as services: stop it.
declare -A services=([mosquitto]=mosquitto [influxdb]=influxdb [nginx-light]=nginx
  [prometheus-node-exporter]=prometheus-node-exporter)

install_packages() {
  local as_root=() units=() package
  if [ "$(id -u)" != 0 ]; then
    if ! sudo -n true 2>/dev/null; then
      stop "Debian packages are missing; run: sudo apt-get install --no-install-recommends ${packages[*]}"
    fi
    as_root=(sudo -n)
  fi
  command -v apt-get >/dev/null || stop "these are missing, and there is no apt-get to install them: ${packages[*]}"
  echo "caretaker: installing Debian packages: ${packages[*]}"
  for package in "${packages[@]}"; do
    [ -z "${services[$package]:-}" ] || units+=("${services[$package]}.service")
  done
  [ -d /run/systemd/system ] || units=()
  [ ${#units[@]} = 0 ] || "${as_root[@]}" systemctl --quiet mask --runtime "${units[@]}"
  local log failed=0
  log=$(mktemp)
  {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y update &&
      "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends "${packages[@]}"
  } >"$log" 2>&1 </dev/null || failed=1
  if [ ${#units[@]} != 0 ]; then
    "${as_root[@]}" systemctl --quiet unmask --runtime "${units[@]}" || true
    "${as_root[@]}" systemctl --quiet disable "${units[@]}" || true
  fi
  if [ $failed = 1 ]; then
    tail -n 15 "$log"
    rm -f "$log"
    stop "apt-get could not install ${packages[*]} (its last words are above)"
  fi
  rm -f "$log"
}
[ ${#packages[@]} = 0 ] || install_packages

# --- the virtual environment ------------------------------------------------------------------------------------
# The stamp holds what the environment was made from. `test` holds all that `demo` needs, so it serves both.
fingerprint() { # fingerprint FILE...
  {
    echo "$PWD"
    cat "$@" pyproject.toml scripts/setup.sh
  } | sha256sum | cut -d ' ' -f 1
}
dev_stamp=.venv/.caretaker-dev
demo_stamp=.venv/.caretaker-demo
dev_print=$(fingerprint requirements/dev.txt)
own_stamp=$dev_stamp own_print=$dev_print
[ "$level" != demo ] || { own_stamp=$demo_stamp own_print=$(fingerprint "${requirements[@]}"); }
same() { # same STAMP PRINT
  [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]
}
if "$venv_python" -c 'import pip' 2>/dev/null && { same "$dev_stamp" "$dev_print" || same "$own_stamp" "$own_print"; }; then
  exit 0
fi

if ! "$venv_python" -c 'import pip' 2>/dev/null; then
  [ ! -e .venv ] || [ -f .venv/pyvenv.cfg ] || [ -z "$(ls -A .venv)" ] || stop ".venv is not a virtual environment; move it away"
  echo "caretaker: making .venv with $("$python" --version) (the first time takes a minute or so)"
  rm -rf .venv
  "$python" -m venv .venv || stop "$python cannot make a virtual environment: apt-get install python3-venv"
fi
rm -f "$dev_stamp" "$demo_stamp"
pip() {
  "$venv_python" -m pip --quiet --disable-pip-version-check --no-input "$@"
}
echo "caretaker: installing pinned packages from ${requirements[*]}"
pip install --require-hashes "${requirements[@]/#/--requirement=}" ||
  stop "pip could not install ${requirements[*]} (its words are above); it uses your own pip settings (pip config list)"
pip install --no-deps --no-build-isolation --editable . || stop "pip could not install Caretaker itself (see above)"
echo "$own_print" >"$own_stamp"
