#!/bin/sh
# Runs Muin from its sources with the pinned Bun, wherever it is called from, and needs no more than Node with npm, or Bun.
#
#   start.sh [ARGUMENT...]             runs `muin ARGUMENT...`
#   start.sh --run FILE [ARGUMENT...]  runs a file of the repository, in its root
#
# Dependencies are installed when they are not those of bun.lock. Standard output is the program's alone; all else goes to
# standard error. Ends in `exec`: a signal sent to this script reaches the program.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd -P)
version=$(sed -n 's/^ *"bun": "\([0-9.]*\)".*/\1/p' "$root/package.json")
installed="$root/node_modules/.bun.lock.installed"

# Whether the program $1 is the Bun that package.json pins.
is_pinned() {
  [ "$("$1" --version 2>/dev/null)" = "$version" ]
}

# Prints the path of the pinned Bun, if there is one.
find_pinned() {
  for candidate in "$root"/node_modules/.bin/bun "$root"/node_modules/@oven/bun-*/bin/bun "$(command -v bun || true)"; do
    if [ -x "$candidate" ] && is_pinned "$candidate"; then
      printf '%s\n' "$candidate"
      return
    fi
  done
}

# Any Bun can install the pinned one, npm's included.
install() {
  if [ -n "$bun" ]; then
    "$bun" install "$@"
  elif command -v npx >/dev/null; then
    npx --yes "bun@$version" install "$@"
  elif command -v bun >/dev/null; then
    bun install "$@"
  else
    echo "Muin needs Node.js with npm (Debian packages nodejs and npm), or Bun (https://bun.sh)."
    return 1
  fi
}

bun=$(find_pinned)
if [ -z "$bun" ] || ! cmp -s "$root/bun.lock" "$installed"; then
  echo "Installing Muin's dependencies ..." >&2
  if ! (cd "$root" && install --frozen-lockfile --no-progress --no-summary) >&2 </dev/null; then
    echo "Muin's dependencies could not be installed; the lines above say why." >&2
    exit 69
  fi
  cp "$root/bun.lock" "$installed"
  bun=$(find_pinned)
  if [ -z "$bun" ]; then
    echo "Bun $version was installed, but does not run on this machine." >&2
    exit 69
  fi
fi

if [ "${1-}" = --run ]; then
  file=$2
  shift 2
  cd "$root"
  exec "$bun" --no-env-file "$file" "$@"
fi
# npm changes to the root; paths in arguments mean the folder in which the person called it.
if [ -n "${npm_lifecycle_event-}" ] && [ -d "${INIT_CWD-}" ]; then cd "$INIT_CWD"; fi
exec "$bun" --no-env-file "$root/cmd/muin/main.ts" "$@"
