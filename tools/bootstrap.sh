#!/usr/bin/env bash
# Makes .venv exactly what requirements.lock says, from plain Python 3.11 or 3.12 and the package index alone, then
# touches the stamp given as $1. Called by the Makefile; needs no HOME.
set -euo pipefail
cd "$(dirname "$0")/.."
stamp=$1

say() { printf 'bootstrap: %s\n' "$*" >&2; }

# Two targets started side by side must not both build the environment.
if command -v flock >/dev/null; then
  exec 9>.bootstrap.lock
  flock 9
  [ -e "$stamp" ] && exit 0
fi

python=
for candidate in "${PYTHON:-}" python3.11 python3.12 python3 python; do
  [ -n "$candidate" ] || continue
  if found=$("$candidate" -c '
import sys
assert (3, 11) <= sys.version_info < (3, 13)
print(sys.executable)' 2>/dev/null); then
    python=$found
    break
  fi
done
if [ -z "$python" ]; then
  say "Python 3.11 or 3.12 is needed and none was found; install one or name it: make PYTHON=/path/to/python3.11 ..."
  exit 1
fi

# The caches stay inside the repository where there is no home to keep them.
[ -n "${HOME:-}" ] && [ -w "$HOME" ] || export UV_CACHE_DIR="$PWD/.bootstrap/cache" PIP_NO_CACHE_DIR=1
export UV_HTTP_TIMEOUT="${UV_HTTP_TIMEOUT:-180}" UV_NO_PROGRESS=1 UV_PYTHON_DOWNLOADS=never
export PIP_DISABLE_PIP_VERSION_CHECK=1

uv=.bootstrap/bin/uv
if ! "$uv" --version >/dev/null 2>&1 || ! cmp -s bootstrap.lock .bootstrap/bootstrap.lock; then
  say "installing uv with $python"
  rm -rf .bootstrap/bin .bootstrap/lib .bootstrap/pyvenv.cfg
  "$python" -m venv .bootstrap
  .bootstrap/bin/python -m pip install --quiet --require-hashes --no-deps -r bootstrap.lock
  cp bootstrap.lock .bootstrap/bootstrap.lock
fi

# Scripts in a virtual environment name its folder, so one that was moved or copied is made anew.
if ! .venv/bin/python -c '' >/dev/null 2>&1 || [ "$(cat .venv/.made-in 2>/dev/null)" != "$PWD" ]; then
  "$uv" venv --quiet --clear --python "$python" .venv
  printf '%s\n' "$PWD" >.venv/.made-in
fi

say "installing requirements.lock into .venv (the first time takes a minute or two)"
"$uv" pip sync --quiet --compile-bytecode --python .venv --require-hashes requirements.lock
"$uv" pip install --quiet --python .venv --no-deps --no-build-isolation --no-index -e .
rm -f .venv/.ready-*
touch "$stamp"
say "ready"
