# SPDX-License-Identifier: GPL-2.0-only
#
# The front door. Everything runs inside the toolbox (tools/toolbox), which is
# made on first use; kbuild itself reads Kbuild.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.SUFFIXES:

# BED=stock|uml-debug: the kernel that `make modules` builds for
BED ?= stock
# KDIR=DIR: build for the prepared kernel tree DIR instead (by its compiler, or CC=, LLVM=, ARCH=)
KDIR ?=
# IMAGE=FILE: the image for `make run` and `make shell`; without it, one of a Debian root is made
IMAGE ?=
# FS=erofs_rs|erofs: the driver that `make run` and `make shell` mount with
FS ?= erofs_rs
# MKFS_OPTIONS=...: of mkfs.erofs, for the image of the Debian root
MKFS_OPTIONS ?= -zlz4hc -C65536 -Efragments,dedupe,ztailpacking
# TESTS=...: arguments of pytest for `make test`, such as testing/test_vm.py or -k NAME
TESTS ?= testing

sources = $(shell find rust fs testing -name '$(1)' -not -path '*/target/*')
T := $(if $(EROFS_RS_TOOLBOX),,tools/toolbox run --)
export LLVM ARCH IMAGE FS MKFS_OPTIONS
ifneq ($(origin CC),default)
export CC
endif

# A host with nothing but make: Python for the tools, the rest is in the toolbox.
ifeq ($(shell command -v python3),)
$(info make: installing python3 on the host)
$(shell (apt-get -q update && apt-get -qy install --no-install-recommends python3) >&2)
endif

.PHONY: help
help: ## This list
	@echo "erofs_rs: the EROFS filesystem as a kernel module in Rust"
	@echo
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' Makefile | \
		while IFS=$$'\t' read -r t d; do printf '  make %-15s %s\n' "$$t" "$$d"; done
	@echo
	@sed -nE 's/^# ([A-Z_]+=[^:]*): (.*)/\1\t\2/p' Makefile | \
		while IFS=$$'\t' read -r v d; do printf '  %-28s %s\n' "$$v" "$$d"; done

.PHONY: run
run: ## Mount an image in a guest and check every file of it
	@tools/run check

.PHONY: shell
shell: ## A shell in a guest, the image mounted on /mnt
	@tools/run shell

.PHONY: modules
modules: ## Build erofs_rs.ko (BED=..., or KDIR=...)
	@tools/module $(or $(KDIR),$(BED))

.PHONY: test
test: ## All but the expensive tests, one line each, and a total
	@tools/module stock
	@tools/module uml-debug
	@$(T) python3 -u -m pytest $(TESTS)

.PHONY: test-full
test-full: ## The expensive tests too
	@$(MAKE) test TESTS='$(TESTS) -m ""'

.PHONY: stress
stress: ## Four processes on each of 11 images, four images at a time, for an hour
	@tools/module stock
	@$(T) env EROFS_RS_STRESS=1200 python3 -m pytest -n0 testing/test_stress.py

.PHONY: bench
bench: ## erofs_rs against C erofs: a table and a TSV
	@tools/module stock
	@$(T) testing/bench

.PHONY: lint
lint: ## The rules of Documentation/design.md, and that the check of each rule works
	@tools/lint
	@tools/lint --prove

.PHONY: clippy
clippy: ## Clippy on all crates, with the kernel's settings
	@tools/module clippy
	@$(T) sh -ec 'for m in $(call sources,Cargo.toml); do \
		cargo clippy -q --locked --manifest-path $$m --all-targets --target-dir build/cargo -- -Dwarnings; done'

.PHONY: fmt
fmt: ## Format all Rust code in the kernel's manner (CHECK=1: only say what is not)
	@$(T) sh -ec 'rustfmt --edition 2021 --config-path $$(tools/kernel source)/.rustfmt.toml \
		$(if $(CHECK),--check) $(call sources,*.rs)'

.PHONY: doc
doc: ## Rustdoc of all crates, into build/doc
	@tools/module stock
	@$(T) tools/crates doc

.PHONY: rust-analyzer
rust-analyzer: ## rust-project.json for editors
	@tools/module stock
	@tools/module stock rust-analyzer >/dev/null
	@$(T) tools/crates rust-project

.PHONY: clean
clean: ## Remove what was built; the cache stays
	rm -rf build rust-project.json

.PHONY: distclean
distclean: clean ## Remove the cache too: toolbox, kernels, images
	rm -rf --one-file-system "$${EROFS_RS_CACHE:-$$HOME/.cache/erofs_rs}"
