#!/usr/bin/env bash
# Prints the path of a Python 3.11 or newer that can make virtual environments; Debian's own first.
set -euo pipefail

test='import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))'
for python in /usr/bin/python3 "$(command -v python3 || true)"; do
  if [[ -x $python ]] && "$python" -c "$test" 2>/dev/null; then
    echo "$python"
    exit 0
  fi
done
echo "no Python 3.11 or newer with the modules venv and ensurepip" >&2
exit 1
