#!/usr/bin/env bash
# Makes .bootstrap/bench, the environment of what benchmarks compare with (PySpark), from bench.lock. Quick the second time.
set -euo pipefail
cd "$(dirname "$0")/.."
stamp=.bootstrap/bench/.ready-$(sha256sum bench.lock | cut -c1-16)
[ -e "$stamp" ] && exit 0
[ -n "${HOME:-}" ] && [ -w "$HOME" ] || export UV_CACHE_DIR="$PWD/.bootstrap/cache"
export UV_HTTP_TIMEOUT="${UV_HTTP_TIMEOUT:-600}" UV_NO_PROGRESS=1 UV_PYTHON_DOWNLOADS=never
uv=.bootstrap/bin/uv
printf 'bench: installing bench.lock into .bootstrap/bench (several minutes the first time)\n' >&2
"$uv" venv --quiet --clear --python .venv/bin/python .bootstrap/bench
# PySpark comes as a source archive, built by what the lock names.
"$uv" pip install --quiet --python .bootstrap/bench --require-hashes --no-build-isolation-package pyspark -r bench.lock
touch "$stamp"
