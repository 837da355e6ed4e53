#!/usr/bin/env bash
# Everything that can be wrong without running: format, lints, documentation, dependencies, shell
# scripts, structure. Nothing is installed; what a missing tool leaves unchecked is said, and fails in CI.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"

not_checked() {
  echo "check: NOT CHECKED: $1" >&2
  [[ -z ${CI:-} ]]
}

scripts/setup.sh build
cargo fmt --all --check
cargo fmt --manifest-path fuzz/Cargo.toml --check
cargo fmt --manifest-path scripts/peers/proofs/tlog/Cargo.toml --check
cargo clippy --workspace --all-targets --locked -- -D warnings
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked --quiet

if ! cargo deny --version >/dev/null 2>&1; then
  not_checked "licences and advisories of dependencies; \`make setup-check\` installs cargo-deny"
else
  cargo deny --log-level error check bans licenses sources
  if cargo deny --log-level error fetch db; then
    cargo deny --log-level error check --disable-fetch advisories
  else
    not_checked "advisories; their database cannot be fetched from here"
  fi
fi

if command -v shellcheck >/dev/null; then
  shellcheck .ci/run scripts/*.sh
else
  not_checked "shell scripts; \`make setup-check\` installs shellcheck"
fi

python=$(scripts/find-python.sh)
"$python" scripts/check-structure.py --self-test
"$python" scripts/check-structure.py
