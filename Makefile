# Every target sets up what it needs by itself.
.DEFAULT_GOAL := help
.PHONY: help setup run test lint bench chaos clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: ## prepare .venv and the release build
	@scripts/setup.sh

run: setup ## build what is not built, then serve on 127.0.0.1:9009 (ARGS: flags of headrace standalone)
	@exec .venv/bin/headrace standalone $(ARGS)

test: ## set up what the tests need, and run them all (ARGS: arguments of pytest, which then runs alone)
	@scripts/test.sh $(ARGS)

lint: ## formatting, lint, types, stub, import contracts
	@scripts/lint.sh

bench: ## compare with Prometheus and VictoriaMetrics (BENCH_DIR: where the benchmark lies)
	@scripts/bench.sh $(ARGS)

chaos: ## hurt a whole cluster for half an hour (ARGS: --minutes N --seed N --steps a,b)
	@scripts/chaos.sh $(ARGS)

clean: ## remove what was built; data folders stay
	@rm -rf target .venv shared/_native*.so .mypy_cache .ruff_cache .pytest_cache
