#!/bin/sh
# Makes libanasazi.so.1 and the symlink libanasazi.so in DIRECTORY, of the archive libanasazi.a that cargo has put there.
#
#     ffi/link.sh DIRECTORY        for instance target/release, after cargo build --release -p anasazi-ffi
#
# Cargo cannot give a shared library a SONAME or symbol versions, hence this step. The flags:
#   -z nodelete   never unloaded by dlclose(): engine threads and exit handlers outlive any reason to unload it
#   -z now        all symbols are bound at load: a signal handler that sends never runs the dynamic loader
set -eu

[ $# -eq 1 ] || { echo "usage: $0 DIRECTORY, where libanasazi.a is" >&2; exit 2; }
directory=$1
here=$(dirname "$0")
archive=$directory/libanasazi.a
[ -f "$archive" ] || { echo "$0: no $archive; run: cargo build --release -p anasazi-ffi" >&2; exit 1; }

# A name of our own and one step at the end: who links or loads the library meanwhile gets a whole one.
made=$directory/libanasazi.so.1.$$
${CC:-cc} -shared -o "$made" \
    -Wl,--whole-archive "$archive" -Wl,--no-whole-archive \
    -Wl,--version-script="$here/anasazi.map" -Wl,-soname,libanasazi.so.1 \
    -Wl,-z,nodelete -Wl,-z,now -Wl,-z,relro -Wl,-z,defs -Wl,--gc-sections -Wl,-Bsymbolic-functions \
    -lgcc_s -lpthread -lm -ldl -lc
mv -f "$made" "$directory/libanasazi.so.1"
ln -sfn libanasazi.so.1 "$directory/libanasazi.so"
