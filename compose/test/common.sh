# shellcheck shell=bash
# Shared by the tests of the image and of the pipeline; sourced.
set -euo pipefail

say() { printf '%4ds  %s\n' "$SECONDS" "$*"; }

die() {
  echo "$0: $*" >&2
  exit 1
}

# within SECONDS WHAT COMMAND...: repeats the command until it succeeds, or ends the test
within() {
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < end)) || die "not in time: $what"
    sleep 0.3
  done
}

# the value of a key in a JSON object on stdin
field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
