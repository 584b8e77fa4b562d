#!/bin/sh
# Fetches the browser libraries in static/vendor/ anew, at the versions below, from npm. Needs npm; review the difference.
set -eu

MARKED=18.2.1
DOMPURIFY=3.4.18
HIGHLIGHT=11.12.0

vendor="$(cd "$(dirname "$0")/.." && pwd)/static/vendor"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts \
  "marked@$MARKED" "dompurify@$DOMPURIFY" "@highlightjs/cdn-assets@$HIGHLIGHT"

# take NAME VERSION HOME LICENCE-FILE SOURCE TARGET: the source maps are left behind, and so is the reference to them
take() {
  mkdir -p "$vendor/$1"
  sed '/^\/\/# sourceMappingURL=/d' "node_modules/$5" >"$vendor/$1/$6"
  cp "node_modules/$4" "$vendor/$1/LICENSE"
  printf '%s %s\n%s\nFile: %s of the npm package. Licence: see LICENSE.\n' "$1" "$2" "$3" "$5" >"$vendor/$1/VERSION"
}

take marked "$MARKED" https://github.com/markedjs/marked \
  marked/LICENSE marked/lib/marked.esm.js marked.esm.js
take dompurify "$DOMPURIFY" https://github.com/cure53/DOMPurify \
  dompurify/LICENSE dompurify/dist/purify.es.mjs purify.es.js
take highlight.js "$HIGHLIGHT" https://github.com/highlightjs/highlight.js \
  @highlightjs/cdn-assets/LICENSE @highlightjs/cdn-assets/es/highlight.min.js highlight.min.js
