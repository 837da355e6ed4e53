# Every target is a script in scripts/; each of them runs on its own, too.
.DEFAULT_GOAL := help
.PHONY: help demo test test-peers test-vm fuzz check bench setup setup-check install clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

demo: ## Build, then show the main job on real data
	scripts/demo.sh

test: ## Install what is missing, then pass every test, as root also as an ordinary user
	scripts/test.sh

test-peers: ## CPython's and the kernel's own tests, real clients, verifiers of others, killed supervisors (15 minutes)
	scripts/test-peers.sh

test-vm: ## The tests of the jail on Debian's own kernel, in a virtual machine (minutes, x86-64)
	scripts/test-vm.sh

fuzz: ## Fuzzers read what comes from a hostile job, archive or disk, a minute each
	scripts/fuzz.sh

check: ## Format, lints, documentation, dependencies, shell scripts, structure
	scripts/check.sh

bench: ## Measure runs beside other sandboxes, inside against outside; gateway, store, ledger and policy beside others
	scripts/bench.sh

setup: ## Install what build and tests need, or say what to install
	scripts/setup.sh

setup-check: ## Install what only `make check` needs (builds cargo-deny: minutes)
	scripts/setup.sh check

install: ## Install `aseptic` into ~/.cargo/bin
	scripts/setup.sh build
	cargo install --locked --path crates/aseptic

clean: ## Delete everything that was built
	cargo clean
	rm -rf bench/scratch
