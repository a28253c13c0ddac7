# Everything that is done with this project, by name. `make` alone lists it.

CARGO ?= cargo
CC ?= gcc
PYTHON ?= python3

target = $(or $(CARGO_TARGET_DIR),target)
release = $(target)/release
demo_dir = $(target)/demo

.DEFAULT_GOAL := help
.PHONY: help build demo demo-domains demo-build test fuzz header lib bench bench-micro counts soak man wheel npm
.PHONY: bench-wrappers bench-domains bench-sealed clean

help: ## What can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20
	@echo '  make install      All of it, below PREFIX=/usr/local (SKIP_BUILD=1: as built before)'
	@echo '  make uninstall    Removes that again; configuration and state files stay'

build: ## Daemon, console and library, optimised
	$(CARGO) build --release --locked -p anasazid -p anasazi-console -p anasazi-ffi
	@ffi/link.sh $(release)

demo: demo-build ## Four members agree, through a killed daemon and a divided network
	@$(PYTHON) demo/demo.py --bin $(release) --member $(demo_dir)/member $(if $(JSON),--json)

demo-domains: demo-build ## A fast domain, undisturbed by a slow one: half a minute, with a picture
	@$(CC) -std=gnu11 -Wall -Wextra -O2 -Iinclude -DBACKEND='"anasazi_backend.h"' \
		tests/bench/pace.c -o $(demo_dir)/pace -L$(release) -lanasazi -lpthread \
		-Wl,-rpath,'$$ORIGIN/../release'
	@$(PYTHON) -B demo/domains.py --bin $(release) --pace $(demo_dir)/pace \
		--picture $(demo_dir)/domains.svg $(if $(JSON),--json)

demo-build: build
	@mkdir -p $(demo_dir)
	$(CC) -std=c11 -D_GNU_SOURCE -Wall -Wextra -O2 -Iinclude demo/member.c -o $(demo_dir)/member \
		-L$(release) -lanasazi -Wl,-rpath,'$$ORIGIN/../release'

test: ## Every test, 30 minutes on 2 cores (as root it installs missing Debian packages)
	@$(PYTHON) tests/run.py

fuzz: ## Fuzz targets, SECONDS=140 in all (TARGETS="a b": only these; KEEP=1: keep what it finds)
	@$(PYTHON) -B tests/fuzz/run.py --seconds $(or $(SECONDS),140) $(if $(KEEP),--keep) \
		$(if $(TARGETS),--targets $(TARGETS))

bench: build ## Throughput and latency, beside Corosync if that is installed (QUICK=1: short)
	@$(PYTHON) -B tests/bench/bench.py --release $(release) --json $(target)/bench/bench.json \
		--plots $(target)/bench $(if $(QUICK),--quick) \
		$(if $(FAIL_OVERS),--fail-overs $(FAIL_OVERS))

bench-domains: build ## What a sick host costs a domain that it is not in: 40 minutes, root (PAIRS=)
	@$(PYTHON) -B tests/bench/domains.py --release $(release) \
		--json $(target)/bench/domains.json --plots $(target)/bench \
		$(if $(PAIRS),--pairs $(PAIRS))
	@$(PYTHON) -B tests/bench/many.py --release $(release) --json $(target)/bench/many.json
	@$(PYTHON) -B tests/bench/beside.py --release $(release) --json $(target)/bench/beside.json
	@$(PYTHON) -B tests/bench/threads.py --release $(release) --json $(target)/bench/threads.json

bench-sealed: build ## What a seal costs beside none and beside Corosync's, and what strangers do (root)
	@$(PYTHON) -B tests/bench/sealed.py --release $(release) --json $(target)/bench/sealed.json \
		$(if $(QUICK),--quick)
	@$(PYTHON) -B tests/bench/strangers.py --release $(release) \
		--json $(target)/bench/strangers.json $(if $(QUICK),--rounds 1)

bench-micro: ## Rings, codec and the ordering step by themselves, timed (ONLY=ring: of that name)
	nice $(CARGO) bench --locked -p anasazi-micro -- $(ONLY)

bench-wrappers: build ## Python and Node beside C in this run: throughput, added latency
	@$(PYTHON) -B bindings/python/tests/run.py --release $(release) --bench
	@$(PYTHON) -B bindings/node/test/run.py --release $(release) --bench

counts: ## Instructions of ordering and sending beside the baseline (UPDATE=1: a new one)
	$(CARGO) build --release --locked -p anasazi-micro
	@$(PYTHON) -B tests/micro/counts.py --release $(release) $(if $(UPDATE),--update) \
		$(if $(JSON),--json)

soak: ## A long simulator campaign, recorded in docs/RELIABILITY.md (FROM=, SEEDS=)
	$(CARGO) build --release --locked -p anasazi-sim
	@$(PYTHON) -B tests/soak/soak.py simulator --from $(or $(FROM),1) --seeds $(or $(SEEDS),2000)

lib: ## libanasazi.so and libanasazi.a
	$(CARGO) build --release --locked -p anasazi-ffi
	@ffi/link.sh $(release)

wheel: lib ## The Python package, target/wheels/*.whl, for machines without Rust too
	ANASAZI_LIB_DIR=$(abspath $(release)) $(PYTHON) -m pip wheel --quiet --no-deps \
		-w $(target)/wheels bindings/python

npm: lib ## The package for Node, target/npm/*.tgz, for machines without Rust too
	cd bindings/node && CARGO_TARGET_DIR=$(abspath $(target)) npm run --silent build
	@mkdir -p $(target)/npm
	cd bindings/node && npm pack --silent --pack-destination $(abspath $(target)/npm)

header: ## include/anasazi.h, made anew of ffi/
	UPDATE=1 $(CARGO) test --locked -p anasazi-abi --test header committed

man: header ## The manual pages, docs/man/*.3, made anew of the header
	UPDATE=1 $(CARGO) test --locked -p anasazi-abi --test man up_to_date

clean: ## Removes what was built
	$(CARGO) clean

# Adds `install` and `uninstall`.
include packaging/install.mk
