# What tools/up, tools/test and tools/bench need before there is any Python of ours: Debian packages and a virtual
# environment. To be sourced by bash, with ROOT set to the repository. Nothing is started, nothing outside is changed
# but the packages that are named first.

VENV=$(realpath -m "${TENTER_VENV:-$ROOT/.venv}")
PATH=$PATH:/usr/sbin:/sbin
export DEBIAN_FRONTEND=noninteractive

LIBVIRT_PACKAGES="libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients qemu-system-x86 qemu-utils
  libvirt-dev pkg-config gcc dnsmasq-base iproute2"
# What building Debian packages needs: tools/debs.
DEB_PACKAGES="build-essential debhelper dh-python lintian python3 python3-venv"
# What the tests need besides: tools/model-check; containers of contrib_drivers/lxc; a database server, which they run
# themselves; the packages, and a clean Debian to install them into.
TEST_PACKAGES="spin libc6-dev libvirt-daemon-driver-lxc busybox-static postgresql $DEB_PACKAGES mmdebstrap"

say() { printf '%s\n' "$*"; }
die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# One line a step with its seconds, as tools/lib/steps.py prints them: step WORDS COMMAND…
step() {
  local words=$1 began=${EPOCHREALTIME/./} status=0
  shift
  "$@" || status=$?
  local took=$(((${EPOCHREALTIME/./} - began) / 100000))
  printf '%-6s %6s s  %s\n' "$([ $status = 0 ] && echo ok || echo FAILED)" "$((took / 10)).$((took % 10))" "$words"
  return $status
}

# Sets PYTHON to the first Python that can make virtual environments; empty if there is none.
find_python() {
  local candidate
  for candidate in ${TENTER_PYTHON:-} python3 /usr/bin/python3; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      PYTHON=$candidate
      return
    fi
  done
  PYTHON=
}

# Prints the packages of a set (libvirt or fake) that Python itself needs here.
python_packages() {
  [ -n "$PYTHON" ] || echo python3-venv
  [ "$1" != fake ] || return 0
  local header='import sysconfig, pathlib, sys; sys.exit(not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists())'
  [ -n "$PYTHON" ] && "$PYTHON" -c "$header" || echo python3-dev
}

# Sets MISSING to those of the packages given that are not installed.
find_missing() {
  MISSING=
  if ! command -v dpkg-query >/dev/null; then
    [ $# = 0 ] || say "This is no Debian; make sure that it has what these packages bring: $*"
    return 0
  fi
  local name
  for name in "$@"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || MISSING="$MISSING $name"
  done
  MISSING=${MISSING# }
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

may_be_root() {
  [ "$(id -u)" = 0 ] || { command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; }
}

# Returns whether apt knows packages, and asked for them within a day.
lists_fresh() {
  ls /var/lib/apt/lists/*Packages* >/dev/null 2>&1 && [ -n "$(find /var/lib/apt/lists/partial -maxdepth 0 -mtime -1 2>/dev/null)" ]
}

update_lists() {
  lists_fresh || as_root apt-get update -qq || say "apt-get update failed; going on with what apt knows"
}

# Without a terminal, a yes must have been given beforehand: --yes (YES=1) or CI=true.
agreed() {
  [ "${YES:-}" != 1 ] && [ "${CI:-}" != true ] || return 0
  [ -t 0 ] && [ -t 1 ] || return 1
  local answer
  read -r -p "Go on? [Y/n] " answer
  case $answer in '' | [yYjJ]*) return 0 ;; *) die "nothing was changed" ;; esac
}

install_packages() {
  update_lists
  # shellcheck disable=SC2086
  as_root apt-get install -qq -y --no-install-recommends $MISSING >"$LOG" 2>&1 || { tail -n 20 "$LOG" >&2; return 1; }
}

# Which sets of Python packages hold which others.
supersets() {
  case $1 in fake) echo fake libvirt test ;; libvirt) echo libvirt test ;; *) echo test ;; esac
}

requirements() {
  case $1 in
    fake) echo "-e $ROOT python-openstackclient" ;;
    libvirt) echo "-e $ROOT[libvirt] python-openstackclient" ;;
    test) echo "-e $ROOT[libvirt,packaging,test,lint,docs] $(printf -- ' -e %s' "$ROOT"/contrib_drivers/*)" ;;
  esac
}

venv_key() { cat "$ROOT"/setup.* "$ROOT/pyproject.toml" "$ROOT"/contrib_drivers/*/setup.cfg | sha256sum | cut -d' ' -f1; }

# Returns whether the environment holds the set $1 as setup.cfg asks for it now.
venv_ready() {
  local set
  [ -x "$VENV/bin/python" ] && "$VENV/bin/python" -c '' 2>/dev/null || return 1
  for set in $(supersets "$1"); do
    [ "$(cat "$VENV/tenter-$set.key" 2>/dev/null)" != "$(venv_key)" ] || return 0
  done
  return 1
}

make_venv() {
  find_python
  [ -n "$PYTHON" ] || { say "no Python of at least 3.11 can make virtual environments; install python3-venv" >&2; return 1; }
  "$VENV/bin/python" -c '' 2>/dev/null || "$PYTHON" -m venv --clear "$VENV" || return 1
  # shellcheck disable=SC2046
  "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check $(requirements "$1") >"$LOG" 2>&1 ||
    { tail -n 20 "$LOG" >&2; return 1; }
  venv_key >"$VENV/tenter-$1.key"
}

# set_up SET PACKAGE…: on return the packages are installed and $VENV holds the set fake, libvirt or test.
set_up() {
  local set=$1
  shift
  find_python
  # shellcheck disable=SC2046
  find_missing $(python_packages "$set") "$@"
  venv_ready "$set" && local ready=1 || local ready=
  [ -n "$MISSING" ] || [ -z "$ready" ] || return 0
  [ -z "$MISSING" ] || say "Debian packages that are missing and will be installed: $MISSING"
  [ -n "$ready" ] || say "A Python virtual environment will be made or brought up to date: $VENV"
  if ! agreed && [ -n "$MISSING" ]; then
    say "This is no terminal to ask on. Say --yes (or CI=true), or install them yourself:" >&2
    die "  apt-get install --no-install-recommends $MISSING"
  fi
  LOG=$(mktemp)
  trap 'rm -f "$LOG"' EXIT
  if [ -n "$MISSING" ]; then
    may_be_root || die "root is needed; run as root: apt-get install --no-install-recommends $MISSING"
    step "Debian packages" install_packages || exit 1
  fi
  if [ -z "$ready" ]; then
    mkdir -p "$(dirname "$VENV")"
    exec 9>"$VENV.lock"
    flock 9
    venv_ready "$set" || step "Python environment" make_venv "$set" || exit 1
    exec 9>&-
  fi
  rm -f "$LOG"
  trap - EXIT
}
