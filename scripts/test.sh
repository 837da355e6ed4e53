#!/usr/bin/env bash
# Passes every test: structure, documentation, then all test binaries as the current user, and when that
# is root, all of them again as an ordinary user. Each of the two ends with nextest's summary line.
#
# The second pass does not build again. The checkout may lie where the user cannot go, so everything
# goes to a directory of its own: nextest archives the test binaries and the programs they start,
# extracts them there, and remaps the workspace to a copy of the checkout there. Measured with nextest
# 0.9.143: CARGO_MANIFEST_DIR (at run time), the working directory and NEXTEST_BIN_EXE_<program> are
# remapped; env!("CARGO_BIN_EXE_…") and env!("CARGO_MANIFEST_DIR") keep the path of the build. So a test
# that starts `aseptic` asks NEXTEST_BIN_EXE_aseptic first.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"

user=aseptic-test # Made by scripts/setup.sh.
place=
trap '[[ -z $place ]] || rm -rf -- "$place"' EXIT

scripts/setup.sh test
python=$(scripts/find-python.sh)
"$python" scripts/check-structure.py --self-test
"$python" scripts/check-structure.py
cargo test --quiet --workspace --doc --locked

echo "test: as $(id -un)"
cargo nextest run --workspace --locked "$@"
if ((EUID != 0)); then
  echo "test: run as root to pass the tests as root, too"
  exit 0
fi

place=$(mktemp -d /var/tmp/aseptic-test.XXXXXX)
chmod 755 "$place"
install -d -o "$user" -g "$user" -m 700 "$place/home" "$place/home/tmp"
mkdir "$place/checkout" "$place/target"
# Without git's index, as in a source archive, everything but the build is copied. A file that git lists
# and that was deleted is passed over.
if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
  git ls-files -z --cached --others --exclude-standard
else
  find . -name target -prune -o -type f -print0
fi |
  tar --create --null --files-from=- --ignore-failed-read --warning=no-failed-read |
  tar --extract --no-same-owner --directory "$place/checkout"
chmod -R u+rwX,go+rX,go-w "$place/checkout"
cp scripts/as-test-user.sh "$place/"
chmod 755 "$place/as-test-user.sh"
cargo nextest archive --workspace --locked --archive-file "$place/tests.tar.zst"
chmod 600 "$place/tests.tar.zst"

export ASEPTIC_TEST_USER=$user ASEPTIC_TEST_USER_HOME=$place/home
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER=$place/as-test-user.sh
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=$place/as-test-user.sh
export INSTA_WORKSPACE_ROOT=$place/checkout INSTA_UPDATE=no # Otherwise insta asks root's cargo.
echo "test: as $user"
cargo nextest run --archive-file "$place/tests.tar.zst" --extract-to "$place/target" \
  --workspace-remap "$place/checkout" "$@"
