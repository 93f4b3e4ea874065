# Everything a developer types. `make help` explains itself; a fresh machine needs only make and Python 3.11 or newer.

VENV := .venv
BIN := $(VENV)/bin
PINS := .ci/pins/dev.txt
SANDBOX_PINS := .ci/pins/sandbox.txt
CARD ?= request
LOCALE ?= en
PYTEST_ARGS ?=
SAMPLE ?=
AGAINST ?=
BENCH_ARGS ?=
MUTANTS_ARGS ?=
# on every core; a test that hangs although its own time limit has passed ends its worker, not the whole run
PARALLEL := -n auto --dist worksteal -o faulthandler_timeout=300 -o faulthandler_exit_on_timeout=true
# more workers than cores keep the cores busy, because some tests wait, most of all those that start processes
WORKERS = $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
WORKERS_THAT_WAIT = $(shell expr $$(getconf _NPROCESSORS_ONLN) + 3)
PROOFS := tests/reliability $(patsubst %,tests/security/test_%.py,junk authorisation parsers injection) \
	--ignore=tests/reliability/test_controls.py
COVERED := tests/unit tests/contract tests/scenario tests/security tests/aws tests/system
PICTURES := .sandbox/pictures
GALLERY ?= .sandbox/gallery
INSTALL = "$$(.ci/python)" .ci/install $(VENV)

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Some machines forbid it. Every process of the tests would compile all modules, and rewrite the tests' assertions, again.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help setup sandbox test system proofs e2e slow bench profile stalls chaos controls coverage mutants base container check weaknesses format render gallery pictures pins build release clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/.project ## Create .venv with everything that development needs

sandbox: $(if $(wildcard $(VENV)/.pins),setup,$(VENV)/.sandbox) ## Run the whole product on this machine and print the address to open
	$(BIN)/node-access-bot sandbox --locale $(LOCALE)

test: setup ## Run the fast tests, about 3 minutes on 2 cores (PYTEST_ARGS="…" narrows them)
	@echo "make test: unit, contract, scenario and security tests on every core; about 3 minutes on 2 cores"
	$(BIN)/python -m pytest $(PARALLEL) -n $(WORKERS) $(PYTEST_ARGS)

system: setup ## Run the tests of the adapters of AWS, of the whole program over HTTP, of other programs, and of the templates, about 3 minutes on 2 cores
	@echo "make system: the adapters of AWS, the whole program over HTTP, other programs, and the templates; about 3 minutes on 2 cores"
	@$(BIN)/python -c "from tests.e2e.node import install_node_packages; install_node_packages()"
	$(BIN)/python -m pytest $(PARALLEL) -n $(WORKERS_THAT_WAIT) tests/aws tests/system $(PYTEST_ARGS)

proofs: setup ## Run the proofs of tests/README.md at the size for CI, about 6 minutes on 2 cores
	@echo "make proofs: the proofs of tests/README.md at the size for CI; about 6 minutes on 2 cores"
	RELIABILITY=proofs $(BIN)/python -m pytest $(PARALLEL) -n $(WORKERS_THAT_WAIT) $(PROOFS) $(PYTEST_ARGS)

e2e: setup ## Run the browser tests; they need Chromium
	@echo "make e2e: the whole product in Chromium; about 4 minutes on 2 cores"
	@$(BIN)/python -c "from tests.e2e.node import install_node_packages; install_node_packages()"
	$(BIN)/python -m pytest $(PARALLEL) -n $(WORKERS_THAT_WAIT) tests/e2e $(PYTEST_ARGS)

# One run starts the workers once, and no core waits for the last test of each part.
slow: setup ## Run the tests of system, proofs and e2e in one run, as continuous integration does, about 10 minutes on 2 cores
	@echo "make slow: the tests of make system, make proofs and make e2e; about 10 minutes on 2 cores"
	@$(BIN)/python -c "from tests.e2e.node import install_node_packages; install_node_packages()"
	RELIABILITY=proofs $(BIN)/python -m pytest $(PARALLEL) -n $(WORKERS_THAT_WAIT) tests/aws tests/system $(PROOFS) tests/e2e $(PYTEST_ARGS)

chaos: setup ## Run the proofs at full size; tests/README.md says how long each takes
	RELIABILITY=long $(BIN)/python -m pytest tests/reliability tests/security --timeout=7200 $(PYTEST_ARGS)

bench: setup ## Measure the real process beside two anchors and print figures, targets and ratios, about 20 minutes (AGAINST=HEAD~80 compares the costs of paths with a commit; BENCH_ARGS="--runs 1 --parts 1,8")
	$(BIN)/python -m tests.bench $(if $(AGAINST),--against $(AGAINST)) $(BENCH_ARGS)

profile: setup ## Leave profiles of the invoke, the event path and the sweep in .sandbox/profile, and print their largest costs
	$(BIN)/python -m tests.bench.profiles

stalls: setup ## Print how long the event loop stalls while AWS hangs, with 10,000 rows, and with 10,000 members
	$(BIN)/python -m pytest tests/bench -s $(PYTEST_ARGS)

controls: setup ## Run a test without each guard of the program and show that it fails (SAMPLE=12 takes 12 guards)
	SAMPLE=$(SAMPLE) $(BIN)/python -m pytest tests/reliability/test_controls.py --timeout=600 -v -p no:randomly $(PYTEST_ARGS)

coverage: setup ## Run the fast tests and those of programs, and print the lines and branches that none of them runs, about 10 minutes on 2 cores
	@echo "make coverage: the tests of make test and make system with coverage on every core; about 10 minutes on 2 cores"
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -p tests.mutation.contexts $(PARALLEL) -o "testpaths=$(COVERED)" $(PYTEST_ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

mutants: setup ## Change bot/domain and bot/service in random places and print what no test notices (SAMPLE=500; after make coverage)
	$(BIN)/python -m tests.mutation --sample $(or $(SAMPLE),0) $(MUTANTS_ARGS)

base: ## Build the base of the container image from this machine's package sources, unless today's is in the cache
	.ci/container base

container: setup ## Build the container image on a base made here, and run it; needs root on Debian, with buildah, runc and mmdebstrap
	@echo "make container: the image on a base made here, and the bot in it; about 2 minutes on 2 cores"
	.ci/container $(PYTEST_ARGS)

check: setup ## Check format, lint, types, dependencies between packages, and that pytest finds every test
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
# It also compiles the tests, which every process of a later run would do for itself.
	@found=$$($(BIN)/python -m pytest --collect-only -qq tests) || { echo "$$found"; exit 1; }

weaknesses: setup ## Check the pinned packages for known vulnerabilities
	$(BIN)/python .ci/weaknesses

format: setup ## Format the code and fix what the linter can
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

render: setup ## Print a card as JSON (CARD=request LOCALE=ja)
	@$(BIN)/node-access-bot render $(CARD) --locale $(LOCALE)

gallery: setup ## Draw and measure every sample card in a browser, on one HTML page (GALLERY=folder)
	$(BIN)/python -m tests.e2e.gallery $(GALLERY)

# CI=true: fail without a browser, so that no old pictures are copied.
pictures: setup ## Take the pictures of the README, and draw the icons of the Teams app, in a browser
	CI=true E2E_PICTURES=$(PICTURES) $(BIN)/python -m pytest tests/e2e/test_stories.py -k stories_of
	mkdir -p .github
	cp $(PICTURES)/waiting-en.png .github/card.png
	cp $(PICTURES)/waiting-ja.png .github/card.ja.png
	CI=true E2E_PICTURES=$(PICTURES) $(BIN)/python -m pytest tests/e2e/test_icons.py -k drawing
	cp $(PICTURES)/icon-color.png bot/app_package/icons/color.png
	cp $(PICTURES)/icon-outline.png bot/app_package/icons/outline.png

pins: setup ## Pin all packages from pyproject.toml (PIP_COMPILE_ARGS=--upgrade for newer ones)
	.ci/pins/compile $(PIP_COMPILE_ARGS)

build: setup ## Build the wheel and the source archive into dist/
	$(BIN)/python -m hatchling build

release: setup ## Check that this commit can be released, build its archives into dist/, and print what a person does next
	$(BIN)/python .ci/release

clean: ## Remove everything that these targets created
	rm -rf $(VENV) dist build .sandbox .mypy_cache .ruff_cache .pytest_cache .hypothesis tests/e2e/node_modules .coverage*
	find bot cards tests -name __pycache__ -prune -exec rm -rf {} +

# The stamps make a second run quick: packages again only for other pins, the project only for another pyproject.toml.
# The sandbox needs half of the packages. Where development is set up, it uses those.
$(VENV)/.pins: $(PINS)
	@$(INSTALL) $(PINS)
	@touch $@

$(VENV)/.project: $(VENV)/.pins pyproject.toml
	@$(INSTALL) .
	@touch $@

$(VENV)/.sandbox: $(SANDBOX_PINS) pyproject.toml
	@$(INSTALL) $(SANDBOX_PINS)
	@$(INSTALL) .
	@touch $@
