#!/bin/sh
# Installs into an empty place, moves it, and uses it from there: with pkg-config, with CMake, shared
# and static. Ends with 0 only if everything that could be tried works; says what was skipped.
# Settings of packaging/install.mk, such as SKIP_BUILD=1, may be given as arguments.
set -eu
cd "$(dirname "$0")/.."
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

make --no-print-directory -f packaging/install.mk install \
    PREFIX=/opt/anasazi DESTDIR="$place/stage" "$@" > "$place/log" 2>&1 \
    || { cat "$place/log"; fail "make install"; }
[ -z "$(find "$place/stage" -path "$place/stage/opt/anasazi" -prune -o -type f -print)" ] \
    || fail "files outside the prefix"
moved="$place/moved here"
mv "$place/stage/opt/anasazi" "$moved"
if grep -rIl -e '@[A-Z]*@' -e "$place" "$moved" --include='*.pc' --include='*.cmake' \
    --include='*.service'; then
    fail "these name the place of the build, or were not filled in"
fi
for document in $(grep -o '[A-Z]*\.md' "$moved/share/doc/anasazi/OPERATIONS.md" | sort -u); do
    [ -e "$moved/share/doc/anasazi/$document" ] || fail "OPERATIONS.md speaks of $document"
done
echo "ok: installs below the prefix"

for function in $(sed -n 's/^ANZ_API .*[ *]\(anz_[a-z_]*\)(.*/\1/p' include/anasazi.h); do
    [ -e "$moved/share/man/man3/$function.3" ] || fail "$function has no manual page"
done
[ -e "$moved/share/man/man3/anz_mcast.3" ] || fail "no manual pages"
echo "ok: a manual page for each function"

for target in install uninstall; do
    make --no-print-directory -f packaging/install.mk $target \
        PREFIX=/opt/anasazi DESTDIR="$place/again" SKIP_BUILD=1 > "$place/log" 2>&1 \
        || { cat "$place/log"; fail "make $target"; }
    ! grep -q ldconfig "$place/log" || fail "make $target with DESTDIR speaks of ldconfig"
done
[ -z "$(find "$place/again" ! -type d -print)" ] \
    || fail "make uninstall leaves $(find "$place/again" ! -type d -print)"
echo "ok: uninstalls what it installed"

for file in "$moved/bin/anasazid" "$moved/lib/libanasazi.so"; do
    if grep -q 'no planted bug has this name' "$file"; then
        fail "${file##*/} has the simulator's planted bugs in it: build it by itself"
    fi
done
echo "ok: no planted bugs"

soname=$(readelf -d "$moved/lib/libanasazi.so" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')
[ -n "$soname" ] && [ -e "$moved/lib/$soname" ] || fail "SONAME is '$soname'"
echo "ok: SONAME $soname"

cat > "$place/use.c" <<'SOURCE'
#include <anasazi.h>
#include <stdio.h>
int main(void) {
    anz_config_t *config;
    anz_conn_t *conn;
    anz_group_t *group;
    anz_event_t ev = {.struct_size = sizeof ev};
    printf("%u %s\n", anz_version_num(), anz_version_string());
    if (anz_config_new(&config) || anz_config_set(config, "transport.multicast", "off", NULL))
        return 1;
    if (anz_connect("inproc:use", config, &conn, NULL) || anz_join(conn, "use", 0, NULL, &group))
        return 2;
    while (ev.type != ANZ_EV_MESSAGE && anz_conn_wait(conn, -1) == ANZ_OK) {
        if (anz_recv(conn, &ev, 1) < 1) continue;
        if (ev.type == ANZ_EV_VIEW && anz_mcast(group, ANZ_SAFE, "hello", 5, 1)) return 3;
        anz_release(conn, &ev, 1);
    }
    return anz_version_num() == ANZ_VERSION_NUM && ev.len == 5 ? 0 : 4;
}
SOURCE
# A path with a space in it: flags are shell words.
PKG_CONFIG_PATH="$moved/lib/pkgconfig"
export PKG_CONFIG_PATH
eval "cc $(pkg-config --cflags anasazi) -o '$place/shared' '$place/use.c' \
    $(pkg-config --libs anasazi)"
LD_LIBRARY_PATH="$moved/lib" "$place/shared" > "$place/version" || fail "shared"
readelf -d "$place/shared" | grep -q "NEEDED.*\[$soname\]" || fail "the program does not need $soname"
grep -q " $(pkg-config --modversion anasazi)\( \|\$\)" "$place/version" \
    || fail "pkg-config says $(pkg-config --modversion anasazi), the library $(cat "$place/version")"
bound_at_start() {
    readelf -d "$1" | grep -q 'FLAGS_1.*NOW' || fail "$1 is bound when it first calls a function"
}
bound_at_start "$place/shared"
echo "ok: pkg-config, shared"

private=$(sed -n 's/^Libs.private: //p' "$PKG_CONFIG_PATH/anasazi.pc")
eval "cc $(pkg-config --cflags anasazi) -o '$place/static' '$place/use.c' \
    '$moved/lib/libanasazi.a' $private $(pkg-config --libs-only-other anasazi)"
bound_at_start "$place/static"
"$place/static" > /dev/null || fail "static"
echo "ok: pkg-config, static"

# Each other header, from where it is now: LANGUAGE HEADER [PACKAGE of the loop that it is for]
includes() {
    flags=''
    if [ $# -gt 2 ]; then
        flags=$(pkg-config --cflags "$3" 2> /dev/null) \
            || { echo "skipped: $2 ($3 is not installed)"; return; }
    fi
    [ -e "$moved/include/$2" ] || fail "$2 is not installed"
    echo "#include <$2>" > "$place/include.$1"
    case $1 in c) compiler='cc -std=gnu99' ;; *) compiler='c++ -std=c++17' ;; esac
    eval "$compiler -fPIC -fsyntax-only -Wall -Wextra $flags $(pkg-config --cflags anasazi) \
        '$place/include.$1'" > "$place/log" 2>&1 || { cat "$place/log"; fail "$2"; }
}
includes c anasazi_dl.h
includes cc anasazi.hpp
includes c anasazi/adapters/glib.h glib-2.0
includes c anasazi/adapters/libevent.h libevent
includes c anasazi/adapters/libuv.h libuv
includes c anasazi/adapters/sdevent.h libsystemd
includes cc anasazi/adapters/qt.hpp Qt5Core
# These two have no file of pkg-config's.
if [ -e /usr/include/ev.h ]; then includes c anasazi/adapters/libev.h; fi
if [ -e /usr/include/asio.hpp ]; then includes cc anasazi/adapters/asio.hpp; fi
echo "ok: all other headers"

# Whatever else looks for libraries would be built anew because it could find others.
unset PKG_CONFIG_PATH
if command -v cmake > /dev/null; then
    cat > "$place/CMakeLists.txt" <<'SOURCE'
cmake_minimum_required(VERSION 3.16)
project(use C)
find_package(anasazi 1.0 CONFIG REQUIRED)
add_executable(use_shared use.c)
target_link_libraries(use_shared anasazi::anasazi)
add_executable(use_static use.c)
target_link_libraries(use_static anasazi::static)
foreach(other 2.0 0.1)
  find_package(anasazi ${other} CONFIG QUIET)
  if(anasazi_FOUND)
    message(FATAL_ERROR "found as version ${other}, too")
  endif()
endforeach()
find_package(anasazi CONFIG REQUIRED)
SOURCE
    { cmake -S "$place" -B "$place/build" -DCMAKE_PREFIX_PATH="$moved" \
        && cmake --build "$place/build"; } > "$place/log" 2>&1 || { cat "$place/log"; fail "cmake"; }
    "$place/build/use_shared" > /dev/null || fail "cmake, shared"
    "$place/build/use_static" > /dev/null || fail "cmake, static"
    bound_at_start "$place/build/use_shared"
    bound_at_start "$place/build/use_static"
    echo "ok: CMake, shared and static"

    # In the tree of another project, wherever that is.
    mkdir "$place/tree" && ln -s "$(pwd)" "$place/tree/anasazi" && cp "$place/use.c" "$place/tree"
    cat > "$place/tree/CMakeLists.txt" <<'SOURCE'
cmake_minimum_required(VERSION 3.16)
project(tree C)
add_subdirectory(anasazi)
add_executable(use_shared use.c)
target_link_libraries(use_shared anasazi::anasazi)
add_executable(use_static use.c)
target_link_libraries(use_static anasazi::static)
SOURCE
    { cmake -S "$place/tree" -B "$place/tree/build" && cmake --build "$place/tree/build"; } \
        > "$place/log" 2>&1 || { cat "$place/log"; fail "cmake, add_subdirectory"; }
    "$place/tree/build/use_shared" > /dev/null || fail "add_subdirectory, shared"
    "$place/tree/build/use_static" > /dev/null || fail "add_subdirectory, static"
    echo "ok: CMake, add_subdirectory"
else
    echo "skipped: CMake (not installed: apt-get install cmake)"
fi

"$moved/bin/anasazid" --check --config "$moved/share/doc/anasazi/anasazi.toml" > /dev/null \
    || fail "the example configuration is refused"
"$moved/bin/anasazi" --version > /dev/null || fail "the console does not start"
echo "ok: daemon, console, example configuration"

if command -v systemd-analyze > /dev/null; then
    sed "s|=/opt/anasazi/|=$place/bin/|" "$moved/lib/systemd/system/anasazid.service" \
        > "$place/anasazid.service"
    mkdir -p "$place/bin/bin" && ln -s "$moved/bin/anasazid" "$place/bin/bin/anasazid"
    systemd-analyze verify --man=no "$place/anasazid.service" > "$place/log" 2>&1 \
        && ! grep -q anasazid "$place/log" || { cat "$place/log"; fail "systemd unit"; }
    # As of systemd 252 it is 1.3, of 10; before 250 nothing is said of files.
    ! systemd-analyze --help | grep -q -e --threshold || systemd-analyze security --offline=true --threshold=14 "$place/anasazid.service" \
        > "$place/log" 2>&1 || { grep -e '✗' -e Overall "$place/log"; fail "exposure of the unit"; }
    echo "ok: systemd unit"
else
    echo "skipped: systemd unit (no systemd-analyze)"
fi
