#!/usr/bin/env bash
# Runs one test binary as the ordinary user that scripts/test.sh made.
#
# nextest calls this as its target runner: `as-test-user.sh BINARY ARGUMENT…`. The user gets what a
# fresh login has: a HOME and TMPDIR of its own, the system's PATH, no capability, nothing of root's
# environment. What is passed on is what nextest and cargo tell a test about itself.
set -euo pipefail

: "${ASEPTIC_TEST_USER:?set by scripts/test.sh}"
: "${ASEPTIC_TEST_USER_HOME:?set by scripts/test.sh}"

environment=(
  "HOME=$ASEPTIC_TEST_USER_HOME"
  "TMPDIR=$ASEPTIC_TEST_USER_HOME/tmp"
  "USER=$ASEPTIC_TEST_USER"
  "LOGNAME=$ASEPTIC_TEST_USER"
  "SHELL=/bin/bash"
  "PATH=/usr/local/bin:/usr/bin:/bin"
)
while IFS= read -r name; do
  case $name in
    NEXTEST_LD_LIBRARY_PATH) continue ;; # Directories of root's; our tests link nothing from there.
    NEXTEST | NEXTEST_* | CARGO_MANIFEST_* | CARGO_PKG_*) ;;
    CI | INSTA_* | PROPTEST_* | RUST_BACKTRACE | LANG | LC_* | TZ) ;;
    *) continue ;;
  esac
  environment+=("$name=${!name}")
done < <(compgen -e)

# Leaving uid 0 clears every set of capabilities but the inheritable one, which is cleared here.
exec setpriv --reuid "$ASEPTIC_TEST_USER" --regid "$ASEPTIC_TEST_USER" --init-groups --inh-caps=-all \
  env --ignore-environment "${environment[@]}" "$@"
