# shellcheck shell=bash
# Sourced by the tests of the image and of the pipeline.
set -euo pipefail

say() { printf '%4ds  %s\n' "$SECONDS" "$*"; }

die() {
  echo "$0: $*" >&2
  exit 1
}

# within SECONDS NAME COMMAND...: repeats the command until it succeeds; fails after SECONDS
within() {
  local end=$((SECONDS + $1)) name=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < end)) || die "timeout: $name"
    sleep 0.3
  done
}

# prints the value of a key of the JSON object on stdin
field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
