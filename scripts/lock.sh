#!/usr/bin/env bash
# Pins what pyproject.toml asks for, with hashes and without the address of any index. Needs uv on PATH.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
command -v uv >/dev/null || { echo "caretaker: uv is needed: pip install uv" >&2 && exit 2; }

lock() { # lock OUTPUT ARGUMENT...
  local output=$1
  shift
  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
    --no-annotate --constraint requirements/dev.txt --output-file "requirements/$output" "$@"
}
# dev holds all the others, so that they agree with it.
uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
  --no-annotate --upgrade --output-file requirements/dev.txt \
  --extra agent --extra collector --extra dev pyproject.toml
lock agent.txt --extra agent pyproject.toml
lock collector.txt --extra agent --extra collector pyproject.toml
lock build.txt - <<<$'hatchling\neditables'
