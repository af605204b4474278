# Each target creates its own virtual environment with only what it needs: .venv-demo for the
# demo, .venv for the tests, .venv-dev for style, types and documentation, .venv-release for wheels and
# releases. VENV=folder uses one folder for all of them.
PYTHON ?= python3
# More than the cores: many tests wait, for terms that end or for servers.
JOBS ?= 8
# Measuring coverage takes half as long again, so it is optional: COV="--cov --cov-report=term".
COV ?=
demo_venv := $(or $(VENV),.venv-demo)
test_venv := $(or $(VENV),.venv)
dev_venv := $(or $(VENV),.venv-dev)
fuzz_venv := $(or $(VENV),.venv-fuzz)
release_venv := $(or $(VENV),.venv-release)
demo_ready := $(demo_venv)/.installed-demo
test_ready := $(test_venv)/.installed
dev_ready := $(dev_venv)/.installed-dev
fuzz_ready := $(fuzz_venv)/.installed-fuzz
release_ready := $(release_venv)/.installed-release
project := pyproject.toml dev-elector/pyproject.toml hatch_build.py \
	leaderexec/process/launcher.c leaderexec/process/launcher.flags

.PHONY: test proofs search soak model fuzz lint types format demo bench rehearse nemesis generate pictures docs wheel release-check containers \
	kubernetes kubernetes-programs moves \
	clean

# $(call install,what it is for,the package with its extras)
define install
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "leaderexec needs Python 3.11 or newer, and $(PYTHON) is %d.%d. Name another one: make $(firstword $(MAKECMDGOALS)) PYTHON=python3.13" % sys.version_info[:2])'
@echo "Installing into $(@D) $(1), by $$($(PYTHON) --version)..."
@$(PYTHON) -m venv $(@D)
@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --editable '$(2)' --editable ./dev-elector
@echo "Installed: $$(du -sm $(@D) | cut -f1) MB."
@touch $@
endef

# Install the program, with these packages, as users have it: compiled, and not editable.
bench soak: packages := '.[metrics]'
moves: packages := '.[postgres,redis]' 'psycopg[binary]' ./examples/plugin
define compiled
$(PYTHON) -m venv .venv-bench
env -u PYTHONDONTWRITEBYTECODE .venv-bench/bin/python -m pip install --quiet --compile $(packages)
env -u PYTHONDONTWRITEBYTECODE .venv-bench/bin/python -m pip install --quiet --force-reinstall --no-deps --compile .
endef

$(demo_ready): $(project)
	$(call install,what the demo needs (about 30 MB),.)

$(test_ready): $(project)
	$(call install,what the tests need (about 100 MB),.[test])

$(dev_ready): $(project)
	$(call install,all developer tools (about 350 MB),.[dev])

$(fuzz_ready): $(project)
	$(call install,what the fuzzers need (about 170 MB),.[fuzz])

$(release_ready): $(project)
	$(call install,what wheels and releases need (about 560 MB),.[release])

# Pytest rewrites each module of tests when it first imports it, and keeps the result: here once, and not in each of the
# processes that run the tests, which begin at the same time.
$(test_venv)/.rewritten: $(test_ready)
	@printf '%s\n' tests/*/ | env -u PYTHONDONTWRITEBYTECODE xargs -P 2 -n 13 \
		$(test_venv)/bin/python -m pytest --collect-only -qq >/dev/null; touch $@

# Compiled modules are kept, because Python is started about a thousand times. Neighbouring tests stay with
# one process, which starts their servers once; a process that has finished its own takes others' tests.
test: $(test_venv)/.rewritten
	rm -f .coverage .coverage.*
	env -u PYTHONDONTWRITEBYTECODE $(test_venv)/bin/python -m pytest --numprocesses $(JOBS) --dist worksteal $(COV) $(ARGS)

# What proves the proofs, and what others build on them: the nemesis with each guard taken out, the search and the soak
# with planted faults, the rules of an election in a model without each of their parts, and packages of plug-ins with
# their own tests.
proofs: $(test_ready)
	$(test_venv)/bin/python -m pytest --numprocesses 4 --dist worksteal -m apart tests/nemesis tests/core tests/model tests/examples tests/docs $(ARGS)

# Every history of a small world to a depth, judged; `make test` goes to 7, .ci/run to 8.
search: $(test_ready)
	PYTHONPATH=tests:. $(test_venv)/bin/python tests/core/search.py --depth $(or $(DEPTH),9)

# Long random lives of the core, judged step by step, with a million moves. With SECONDS=3600: real
# processes for so long, idle and moved every second, and whether what they use stays the same; with etcd
# if it is installed. A run can be repeated with its printed seed: SEED=123.
soak: $(test_ready)
ifdef SECONDS
	$(compiled)
	PYTHONPATH=.:tests $(test_venv)/bin/python benchmarks/soak.py --program .venv-bench/bin/leaderexec \
		--seconds $(SECONDS) $(if $(SEED),--seed $(SEED)) $(ARGS)
else
	PYTHONPATH=tests:. $(test_venv)/bin/python tests/core/soak.py --moves $(or $(MOVES),1000000) $(if $(SEED),--seed $(SEED)) $(ARGS)
endif

# The rules of an election, in every history of a model (spin); see docs/rehearsal.md.
model: $(test_ready)
	$(test_venv)/bin/python tests/model/models.py

# Inputs that break a promise about bytes from elsewhere: each target for SECONDS; TARGET=lease for one, JOBS=2 at a
# time; KEEP=1 keeps what covers more, REPLAY=1 only tries what is kept, SEED=123 tries the same inputs in the same
# order; see docs/rehearsal.md.
fuzz: $(fuzz_ready)
	PYTHONPATH=tests:. $(fuzz_venv)/bin/python tests/fuzz/running.py --seconds $(or $(SECONDS),60) \
		$(if $(TARGET),--target $(TARGET)) $(if $(filter command line,$(origin JOBS)),--jobs $(JOBS)) \
		$(if $(SEED),--seed $(SEED)) $(if $(KEEP),--keep) $(if $(REPLAY),--replay)

demo: $(demo_ready)
	$(demo_venv)/bin/python examples/demo.py

lint: $(dev_ready)
	$(dev_venv)/bin/ruff check .
	$(dev_venv)/bin/ruff format --check .

types: $(dev_ready)
	$(dev_venv)/bin/mypy

format: $(dev_ready)
	$(dev_venv)/bin/ruff check --fix .
	$(dev_venv)/bin/ruff format .

# Measure the program as users have it: compiled, and not editable.
bench: $(test_ready)
	$(compiled)
	env -u PYTHONDONTWRITEBYTECODE $(test_venv)/bin/python benchmarks/latency.py --program .venv-bench/bin/leaderexec
	env -u PYTHONDONTWRITEBYTECODE $(test_venv)/bin/python benchmarks/limits.py --program .venv-bench/bin/leaderexec --moves 100 --stages
	-$(test_venv)/bin/python benchmarks/start.py
	env -u PYTHONDONTWRITEBYTECODE $(test_venv)/bin/python benchmarks/childlogs.py --program .venv-bench/bin/leaderexec
	PYTHONPATH=. $(test_venv)/bin/python benchmarks/failover.py
	env -u PYTHONDONTWRITEBYTECODE $(test_venv)/bin/python benchmarks/serving.py --program .venv-bench/bin/leaderexec
	$(test_venv)/bin/python benchmarks/fidelity.py

# SECONDS=600 is the long version; a run can be repeated with its printed seed: SEED=123.
rehearse: $(test_ready)
	PYTHONPATH=. $(test_venv)/bin/python benchmarks/rehearsal.py --seconds $(or $(SECONDS),30) $(if $(SEED),--seed $(SEED))

# Five replicas in namespaces of their own and every fault there is, as root, with iproute2 and iptables: SOURCE=file,
# lease, etcd, postgres, redis or elector; a run can be repeated with its printed seed: SEED=123.
nemesis: $(test_ready) $(if $(filter lease,$(SOURCE)),kubernetes-programs)
	KUBE_APISERVER=$(CURDIR)/build/kube-apiserver PYTHONPATH=.:tests:examples/plugin/tests \
		$(test_venv)/bin/python benchmarks/nemesis.py --source $(or $(SOURCE),redis) --seconds $(or $(SECONDS),60) $(if $(SEED),--seed $(SEED)) $(ARGS)

# The parts of the documentation that come from the code.
generate: $(test_ready)
	PYTHONPATH=docs:. $(test_venv)/bin/python -m generator

# The page, by the test that opens it in a browser.
pictures: $(test_ready)
	BROWSER=required PICTURES=docs $(test_venv)/bin/python -m pytest tests/page -k side_by_side

# By mkdocs-material, for readers, and by its successor Zensical: the same pages, see docs/decisions.md.
docs: $(dev_ready)
	rm -rf build/site build/zensical
	$(dev_venv)/bin/zensical build --strict --clean
	mv build/site build/zensical
	NO_MKDOCS_2_WARNING=1 $(dev_venv)/bin/mkdocs build --strict
	$(dev_venv)/bin/python tests/docs/sites.py build/site build/zensical

# Real containers; the script describes the requirements, and how the images are built.
containers: $(test_ready)
	packaging/containers.sh
	$(test_venv)/bin/python -m pytest -m "apart or not apart" tests/container

# A real API server and a candidate using client-go, built from Go modules (Go 1.24 or newer, 4 minutes,
# cached afterwards), with Debian's etcd (etcd-server).
kubernetes: $(test_ready) kubernetes-programs
	KUBE_APISERVER=$(CURDIR)/build/kube-apiserver KUBE_RIVAL=$(CURDIR)/build/rival \
		$(test_venv)/bin/python -m pytest -s tests/kubernetes $(ARGS)

# Move leadership with a Lease by every cause, a thousand times, and measure the cost, next to client-go: 20
# minutes, as root, with iproute2 and iptables. SHORT=1: tens of moves, in 2 minutes.
# ENGINES=etcd,postgres,redis,zookeeper: held in these in place of a Lease, 200 moves each, in 12 minutes.
moves: $(test_ready) $(if $(ENGINES),,kubernetes-programs)
	$(compiled)
	KUBE_APISERVER=$(CURDIR)/build/kube-apiserver KUBE_RIVAL=$(CURDIR)/build/rival PYTHONPATH=.:tests:examples/plugin/tests \
		$(test_venv)/bin/python benchmarks/moves.py --program .venv-bench/bin/leaderexec $(if $(SHORT),--short) \
		$(if $(ENGINES),--engines $(ENGINES)) $(ARGS)

kubernetes-programs:
	mkdir -p build
	cd tests/kubernetes/apiserver && go build -o $(CURDIR)/build/kube-apiserver .
	cd tests/kubernetes/rival && go build -o $(CURDIR)/build/rival .

# One wheel for every machine, in dist/, and its tests: the launcher of another machine is run by Debian's
# qemu-user-static.
wheel: $(release_ready)
	$(release_venv)/bin/python -m build --no-isolation --wheel
	$(release_venv)/bin/python -m pytest tests/packaging $(ARGS)

release-check: $(release_ready)
	$(release_venv)/bin/python packaging/release_check.py

clean:
	rm -rf .cache .venv .venv-* build dist htmlcov .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
