# Every target does its own set-up. What must be on the machine: Rust with cargo-nextest, a C compiler, make,
# Python 3.11, Node 20, Java 17.

.DEFAULT_GOAL := help
.PHONY: help demo test sim bugs mutants bench bench-wire bench-peers lint build clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## See records arrive at a function, from queues, a stream and a table (KEEP=1 leaves it running)
	@./demo/run

test: ## Run all tests on real servers (ARGS='-E test(fifo)' is handed to nextest)
	@python3 -B tests/harness/run.py

sim: ## Simulate worlds: SEEDS=1000 [FROM=7]; one again with all that happens in it: SEED=7 [SCENARIO=stream]
	@SIM_SEEDS=$(or $(SEEDS),1000) SIM_FROM=$(FROM) SIM_SEED=$(SEED) SIM_SCENARIO=$(SCENARIO) SIM_THREADS=$$(nproc) \
	cargo test --quiet --no-default-features --features engine --profile sim --target-dir target/sim --test sim -- \
	--nocapture --exact $(if $(SEED),replay --ignored,fresh_seeds_hold)

bugs: ## Put known bugs in, one by one, and see the simulation catch each: [SEEDS=1000] [FROM='1 100001'] [BUGS='fifo lease']
	@python3 -B tests/sim/bugs/run.py

mutants: ## Change the pure modules place by place and see the tests object, for hours: [MODULES='filter core']
	@python3 -B tests/mutants/run.py

bench: ## Measure core, rendering, filters and engine, each figure beside its baseline in the same run
	cargo bench --quiet --no-default-features --features engine --bench core --bench rendering --bench filter --bench engine \
	--target-dir target/bench

bench-wire: ## Measure the built binary over loopback beside a bare loop: [ONLY='queue stream']
	cargo bench --quiet --bench wire --target-dir target/bench -- $(ONLY)

bench-peers: ## Measure esmd beside other programs that do the same job: [ONLY='queue stream_esmd'] [RUNS=3] [SHARE=0.1]
	@ONLY='$(ONLY)' RUNS='$(RUNS)' SHARE='$(SHARE)' python3 -B tests/benches/peers/run.py

lint: ## Check format, clippy, that the pure modules and the engine build alone, and deploy/
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	cargo check --no-default-features
	cargo check --no-default-features --features engine
	@! grep -rnE '\b(tokio|aws_[a-z]+|axum|rand|uuid)::|Instant::now|SystemTime|Timestamp::now' src/core
	@python3 -B tests/harness/packages.py python
	@.venv/bin/python -B tests/harness/deploy.py

# A test target is named on purpose. The development dependencies switch on more features of tokio; a build without
# any of them would compile the whole AWS SDK a second time, and the next `make test` a third.
build: ## Build target/debug/esmd
	cargo build --bin esmd --test cli

clean: ## Stop a demo left running; remove all that was built, installed or written
	./demo/run --stop
	cargo clean
	rm -rf target .venv .demo tests/harness/node_modules tests/harness/dynamodb-local
