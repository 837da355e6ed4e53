#!/usr/bin/env bash
# Tests by other people, and tests by force: CPython's regression tests inside and outside, the kernel's own
# tests of what the walls rest on, and many runs whose supervisors are killed.
#
#   scripts/test-peers.sh                       all of them
#   scripts/test-peers.sh cpython|kernel|stress only these; what follows `--` goes to the last one
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"

user="aseptic-test" # Made by scripts/setup.sh.
place=
trap '[[ -z $place ]] || rm -rf -- "$place"' EXIT

parts=()
while (($#)) && [[ $1 != -- ]]; do
  case $1 in
    cpython | kernel | stress) parts+=("$1") ;;
    *)
      echo "usage: $0 [cpython] [kernel] [stress] [-- ARGUMENT…]" >&2
      exit 2
      ;;
  esac
  shift
done
(($# == 0)) || shift
((${#parts[@]})) || parts=(kernel cpython stress)

scripts/setup.sh peers
cargo build --locked -p aseptic
python=$(scripts/find-python.sh)
aseptic=$PWD/target/debug/aseptic

# As an ordinary user: only the modules that ask who runs them, with copies, for the checkout may lie where
# this user cannot go.
cpython_as_user() {
  place=$(mktemp -d /var/tmp/aseptic-peers.XXXXXX)
  chmod 755 "$place"
  cp -- "$aseptic" scripts/peers/cpython.py scripts/peers/cpython.toml "$place/"
  chmod -R go+rX "$place"/{aseptic,cpython.py,cpython.toml}
  (
    cd /
    setpriv --reuid "$user" --regid "$user" --init-groups --inh-caps=-all \
      env --ignore-environment "HOME=/" "USER=$user" "LOGNAME=$user" PATH=/usr/local/bin:/usr/bin:/bin \
      "$python" "$place/cpython.py" --aseptic "$place/aseptic" --subset "$@"
  )
}

failed=0
for part in "${parts[@]}"; do
  echo "peers: $part"
  case $part in
    kernel) "$python" scripts/peers/kernel.py "$@" || failed=1 ;;
    cpython)
      "$python" scripts/peers/cpython.py --aseptic "$aseptic" "$@" || failed=1
      ((EUID)) || cpython_as_user "$@" || failed=1
      ;;
    stress) "$python" scripts/stress.py --aseptic "$aseptic" "$@" || failed=1 ;;
  esac
done
((failed == 0)) || echo "peers: FAILED" >&2
exit "$failed"
