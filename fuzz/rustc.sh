#!/usr/bin/env bash
# Calls the compiler that is its first argument as Cargo asks, with counters in what it compiles: which edges were taken
# and what was compared, as libFuzzer wants to know.
#
# Regular expressions have none. Cedar's reader makes them anew for every text, so that with counters a fuzzer of
# policies did little else, and what they count says nothing about the text.
set -euo pipefail
flags=(
  -Cpasses=sancov-module
  -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
  -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares
  -Cdebug-assertions
)
case ${CARGO_PKG_NAME:-} in
  aho-corasick | memchr | regex | regex-automata | regex-syntax) flags=() ;;
esac
# What runs during the build, such as build scripts, is not for a target.
[[ " $* " == *" --target "* ]] || flags=()
exec "$@" "${flags[@]}"
