# `make` lists the targets. The work is in scripts/ and in `cargo xtask`.

# As in Cargo.toml.
GUNGRAUN := 0.20.0

.DEFAULT_GOAL := help
.PHONY: help setup test demo differential bench instructions deny fmt services services-down fuzz fuzz-all

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what building and testing need (Debian-like; root or sudo)
	scripts/setup

test: ## install what is missing, then fmt, clippy, tidy, wasm32 and all tests on real services
	scripts/test

demo: ## PostgreSQL to "Snowflake" on this machine, for DEMO_SECONDS (60), then verify
	scripts/setup
	cargo xtask demo

differential: ## every scenario under every option set to real Debezium and to cdcd, record against record
	scripts/setup
	cargo xtask differential --full

bench: ## the criterion benches
	cargo bench --package cdcd-benches --bench decode --bench encode --bench capture --bench sink

instructions: ## instructions of the hot path against their limits (installs gungraun-runner if missing)
	@gungraun-runner --version 2>/dev/null | grep -q '$(GUNGRAUN)$$' || cargo install --locked gungraun-runner --version $(GUNGRAUN)
	cargo bench --package cdcd-benches --bench instructions

deny: ## licences, banned crates and sources of all dependencies (installs cargo-deny if missing)
	@cargo deny --version >/dev/null 2>&1 || cargo install --locked cargo-deny
	cargo deny check bans licenses sources

fmt: ## format all code
	cargo fmt --all

services: ## start PostgreSQL and Kafka and print how to reach them
	cargo xtask services up

services-down: ## stop all services of this checkout
	cargo xtask services down

fuzz: ## fuzz the decoder for FUZZ_SECONDS (60) on the stable toolchain (installs cargo-fuzz if missing)
	@cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz
	cd fuzz && cargo fuzz run -s none decoder -- -max_total_time=$${FUZZ_SECONDS:-60} -print_final_stats=1

FUZZ_TARGETS = decoder values capture events sink token framer answers quoting settings

fuzz-all: ## every fuzz target for FUZZ_SECONDS (60) each
	@cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz
	cd fuzz && cargo fuzz build -s none --features edges
	cd fuzz && for target in $(FUZZ_TARGETS); do \
		cargo fuzz run -s none --features edges $$target -- -max_total_time=$${FUZZ_SECONDS:-60} -print_final_stats=1 || exit 1; \
	done
