# Retrace. `make` lists the targets. Everything that is made lies below target/ (or $CARGO_TARGET_DIR).
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup build plugins demo test check deps bench accuracy fuzz clean install

TARGET_DIR := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
export CARGO_TARGET_DIR := $(TARGET_DIR)
export RETRACE_PLUGIN_DIR ?= $(TARGET_DIR)/wasm32-wasip2/plugin
export RETRACE_KEYS_DIR ?= $(CURDIR)/gpg
PLUGINS := $(patsubst plugins/%,-p retrace-plugin-%,$(wildcard plugins/*))

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## install what is missing: Debian packages, the Rust target of the plugins, cargo-deny
	@tests/scripts/setup.sh

build: setup ## the `retrace` command and the tests; one set of dependencies serves demo, tests and benchmarks
	cargo build --locked --workspace --all-targets

plugins: setup ## the distribution plugins, as WebAssembly components
	cargo build --locked --profile plugin --target wasm32-wasip2 $(PLUGINS) --package retrace-plugin-bad --lib --examples

demo: build plugins ## a real crash of a Debian program and one of an RPM distribution, each turned into a backtrace
	@tests/scripts/demo.sh

test: setup check deps plugins ## everything: format, lints, docs, dependencies, plugins, all tests
	cargo build --locked --workspace --all-targets
	@set -o pipefail; RETRACE_REQUIRE_TOOLS=1 cargo test --locked --workspace 2>&1 | awk '{ print; fflush() } \
		/^test result:/ { passed += $$4; failed += $$6; skipped += $$8 } \
		END { printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped }'

check: ## the fast loop: format, lints, docs
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" cargo doc --locked --workspace --no-deps

deps: setup ## licences, banned crates and sources of the dependencies
	cargo deny --locked --all-features check bans licenses sources

bench: build plugins ## benchmarks; NAME=analyze|plugin|mirror|service|unwind for one group
	@tests/scripts/bench.sh $(NAME)

accuracy: setup ## the native engine against gdb over many cores; TIER=own|debian for one part, UPDATE=1 records
	@tests/scripts/accuracy.sh $(TIER)

fuzz: ## each fuzz target for SECONDS (30) seconds; needs cargo-fuzz and a nightly toolchain
	@tests/scripts/fuzz.sh $(or $(SECONDS_EACH),30)

install: ## the release build, plugins and keys below PREFIX (/usr/local)
	cargo build --locked --release --package retrace-cli
	install -D -m755 $(TARGET_DIR)/release/retrace $(DESTDIR)$(or $(PREFIX),/usr/local)/bin/retrace
	install -d $(DESTDIR)$(or $(PREFIX),/usr/local)/lib/retrace/plugins $(DESTDIR)$(or $(PREFIX),/usr/local)/share/retrace
	install -m644 $(RETRACE_PLUGIN_DIR)/retrace_plugin_*.wasm $(DESTDIR)$(or $(PREFIX),/usr/local)/lib/retrace/plugins/
	cp -r gpg $(DESTDIR)$(or $(PREFIX),/usr/local)/share/retrace/

clean: ## remove everything that was made
	rm -rf $(TARGET_DIR)
