# make install [PREFIX=/usr/local] [DESTDIR=]: daemon, console, library, headers, CMake package,
# pkg-config file, systemd unit, operations guide, example configuration. Included by the top
# Makefile. SKIP_BUILD=1 installs what was built before, as for `sudo make install`.

PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
DOCDIR ?= $(PREFIX)/share/doc/anasazi
UNITDIR ?= $(PREFIX)/lib/systemd/system
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
PKGCONFIGDIR ?= $(LIBDIR)/pkgconfig
CMAKEDIR ?= $(LIBDIR)/cmake/anasazi

release_dir = $(or $(CARGO_TARGET_DIR),target)/release
# The version of the library is that of its C interface; its first number is in the SONAME.
version_part = $(shell sed -n 's/^\#define ANZ_VERSION_$(1) //p' include/anasazi.h)
library_major = $(call version_part,MAJOR)
library_version = $(library_major).$(call version_part,MINOR).$(call version_part,PATCH)
# Packages find their prefix from where they are themselves, so that it may be moved.
from = $(shell realpath -m --no-symlinks --relative-to=$(1) $(2))
fill_in = sed \
	-e 's|@BINDIR@|$(BINDIR)|g' -e 's|@DOCDIR@|$(DOCDIR)|g' \
	-e 's|@VERSION@|$(library_version)|g' -e 's|@MAJOR@|$(library_major)|g' \
	-e 's|@LIBDIR@|$(call from,$(PREFIX),$(LIBDIR))|g' \
	-e 's|@INCLUDEDIR@|$(call from,$(PREFIX),$(INCLUDEDIR))|g'

.PHONY: install install-build
install-build:
	cargo build --release --locked -p anasazid -p anasazi-console -p anasazi-ffi
	ffi/link.sh $(release_dir)

install: $(if $(SKIP_BUILD),,install-build)
	@test -n "$(library_major)" || { echo "include/anasazi.h has no ANZ_VERSION_MAJOR"; exit 1; }
	install -d $(addprefix $(DESTDIR),$(BINDIR) $(LIBDIR) $(PKGCONFIGDIR) $(CMAKEDIR) \
		$(UNITDIR) $(SYSUSERSDIR) $(DOCDIR))
	install -m 755 $(release_dir)/anasazid $(release_dir)/anasazi $(DESTDIR)$(BINDIR)
	install -m 755 $(release_dir)/libanasazi.so $(DESTDIR)$(LIBDIR)/libanasazi.so.$(library_version)
	ln -sf libanasazi.so.$(library_version) $(DESTDIR)$(LIBDIR)/libanasazi.so.$(library_major)
	ln -sf libanasazi.so.$(library_major) $(DESTDIR)$(LIBDIR)/libanasazi.so
	install -m 644 $(release_dir)/libanasazi.a $(DESTDIR)$(LIBDIR)
	cd include && find . -name '*.h' -o -name '*.hpp' | while read -r header; do \
		install -D -m 644 "$$header" "$(DESTDIR)$(INCLUDEDIR)/$$header" || exit 1; done
	$(fill_in) -e 's|@PREFIX@|$(call from,$(PKGCONFIGDIR),$(PREFIX))|' cmake/anasazi.pc.in \
		| install -m 644 /dev/stdin $(DESTDIR)$(PKGCONFIGDIR)/anasazi.pc
	$(fill_in) -e 's|@PREFIX@|$(call from,$(CMAKEDIR),$(PREFIX))|' cmake/anasaziConfig.cmake.in \
		| install -m 644 /dev/stdin $(DESTDIR)$(CMAKEDIR)/anasaziConfig.cmake
	$(fill_in) cmake/anasaziConfigVersion.cmake.in \
		| install -m 644 /dev/stdin $(DESTDIR)$(CMAKEDIR)/anasaziConfigVersion.cmake
	$(fill_in) packaging/anasazid.service \
		| install -m 644 /dev/stdin $(DESTDIR)$(UNITDIR)/anasazid.service
	install -m 644 packaging/anasazi.sysusers $(DESTDIR)$(SYSUSERSDIR)/anasazi.conf
	install -m 644 docs/OPERATIONS.md packaging/anasazi.toml $(DESTDIR)$(DOCDIR)
