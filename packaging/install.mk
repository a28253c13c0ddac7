# make install [PREFIX=/usr/local] [DESTDIR=]: daemon, console, library, headers, CMake package,
# pkg-config file, systemd unit, guides, manual pages, example configuration. Included by the top
# Makefile. SKIP_BUILD=1 installs what was built before, as for `sudo make install`.
# make uninstall, with the same settings, removes these again.

PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
DOCDIR ?= $(PREFIX)/share/doc/anasazi
MANDIR ?= $(PREFIX)/share/man
UNITDIR ?= $(PREFIX)/lib/systemd/system
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
PKGCONFIGDIR ?= $(LIBDIR)/pkgconfig
CMAKEDIR ?= $(LIBDIR)/cmake/anasazi

pages = $(wildcard docs/man/*.3)
documents = docs/OPERATIONS.md docs/SECURITY.md docs/PROTOCOL.md docs/FROM-CPG.md docs/FROM-SPREAD.md packaging/anasazi.toml

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

# Who installs for a package (DESTDIR) leaves it to the package. The path: that of `su` has no sbin.
refresh_loader = \
	if [ -n "$(DESTDIR)" ]; then :; \
	elif [ "$$(id -u)" = 0 ] && PATH="$$PATH:/usr/sbin:/sbin" ldconfig; then \
		PATH="$$PATH:/usr/sbin:/sbin" ldconfig -p | grep -q 'libanasazi\.so\.$(library_major) ' || \
			echo "the loader does not search $(LIBDIR): add it to /etc/ld.so.conf.d and run" \
				"ldconfig, or link programs with -Wl,-rpath,$(LIBDIR)"; \
	else echo "programs find the library after ldconfig as root, if the loader searches $(LIBDIR);" \
		"else link them with -Wl,-rpath,$(LIBDIR)"; fi

.PHONY: install install-build uninstall
install-build:
	@command -v cargo > /dev/null || { echo "no cargo on the PATH of $$(id -un): run \`make build\` as" \
		"the user who has Rust, then this again with SKIP_BUILD=1" >&2; exit 1; }
	cargo build --release --locked -p anasazid -p anasazi-console -p anasazi-ffi
	ffi/link.sh $(release_dir)

install: $(if $(SKIP_BUILD),,install-build)
	@test -n "$(library_major)" || { echo "include/anasazi.h has no ANZ_VERSION_MAJOR"; exit 1; }
	install -d $(addprefix $(DESTDIR),$(BINDIR) $(LIBDIR) $(PKGCONFIGDIR) $(CMAKEDIR) \
		$(UNITDIR) $(SYSUSERSDIR) $(DOCDIR) $(MANDIR)/man3)
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
	install -m 644 $(documents) $(DESTDIR)$(DOCDIR)
	install -m 644 $(pages) $(DESTDIR)$(MANDIR)/man3
	@$(refresh_loader)

# What users made stays: configuration, state files, the user of the daemon.
uninstall:
	rm -f $(addprefix $(DESTDIR)$(BINDIR)/,anasazid anasazi)
	rm -f $(addprefix $(DESTDIR)$(LIBDIR)/libanasazi,.so .so.$(library_major) \
		.so.$(library_version) .a)
	cd include && find . -name '*.h' -o -name '*.hpp' | while read -r header; do \
		rm -f "$(DESTDIR)$(INCLUDEDIR)/$$header" || exit 1; done
	rm -f $(DESTDIR)$(PKGCONFIGDIR)/anasazi.pc
	rm -f $(addprefix $(DESTDIR)$(CMAKEDIR)/,anasaziConfig.cmake anasaziConfigVersion.cmake)
	rm -f $(DESTDIR)$(UNITDIR)/anasazid.service $(DESTDIR)$(SYSUSERSDIR)/anasazi.conf
	rm -f $(addprefix $(DESTDIR)$(DOCDIR)/,$(notdir $(documents)))
	rm -f $(addprefix $(DESTDIR)$(MANDIR)/man3/,$(notdir $(pages)))
	rmdir $(DESTDIR)$(CMAKEDIR) $(DESTDIR)$(DOCDIR) 2> /dev/null || true
	@if [ -z "$(DESTDIR)" ] && [ "$$(id -u)" = 0 ]; then PATH="$$PATH:/usr/sbin:/sbin" ldconfig; fi
