#!/bin/sh
# Makes src/generated.rs of include/anasazi.h, with Debian's bindgen (package bindgen).
#
#     bindings/sys/generate.sh            writes it
#     bindings/sys/generate.sh --check    says whether it is what the header gives
set -eu
here=$(dirname "$0")
made=$(mktemp)
trap 'rm -f "$made"' EXIT
bindgen "$here/../../include/anasazi.h" --allowlist-function 'anz_.*' --allowlist-type 'anz_.*' \
    --allowlist-var 'ANZ_.*' --blocklist-type anz_api --blocklist-function anz_get_api \
    --size_t-is-usize --no-layout-tests --no-doc-comments --no-rustfmt-bindings |
    sed 's/^extern "C" {/unsafe extern "C" {/; s/extern "C" { pub fn/unsafe extern "C" { pub fn/g' > "$made"
rustfmt --edition 2024 "$made"
if [ "${1:-}" = --check ]; then
    cmp "$made" "$here/src/generated.rs" ||
        { echo "bindings/sys/src/generated.rs is not what include/anasazi.h gives: run $0" >&2; exit 1; }
else
    cp "$made" "$here/src/generated.rs"
fi
