# `make demo` and `make test` are each all that a fresh machine needs: they make .venv and install into it.
PYTHON ?= python3
BIN := .venv/bin
# A module compiles when it is first imported: most of the 21,000 never are.
INSTALL := $(BIN)/pip install --quiet --no-compile --constraint constraints.txt
.PHONY: demo test test-fast check lint types docs clean

# Train, corrupt, attack, look, report: all in a folder of its own, so that it can be made again and again.
demo: RUN := demo-$(shell date +%Y%m%d-%H%M%S)
demo: .venv/.installed
	$(BIN)/doublevit run digits-double --name $(RUN)
	$(BIN)/doublevit evaluate runs/$(RUN) --corruptions paper \
	  --attack.names pgd --attack.epsilons 0 1/255 2/255 4/255 8/255 --attack.pgd.steps 10 \
	  --attack.pgd.relative-step 0.25 --attack.save-images
	$(BIN)/doublevit speed runs/$(RUN)
	$(BIN)/doublevit show attention runs/$(RUN)
	$(BIN)/doublevit report runs/$(RUN)

test: .venv/.installed-dev
	$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder

# What is not marked slow, in less than a minute on two cores, for the inner loop; the README's commands are left out.
test-fast: .venv/.installed-dev
	$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder -m "not slow" --ignore tests/test_readme.py

check: lint types test

lint: .venv/.installed-dev
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks

types: .venv/.installed-dev
	$(BIN)/mypy

# The documentation as a site, in site/.
docs: .venv/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "the site: site/index.html"

.venv/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(INSTALL) --editable .
	touch $@

.venv/.installed-dev: .venv/.installed
	$(INSTALL) --editable '.[dev]'
	touch $@

.venv/.installed-docs: .venv/.installed
	$(INSTALL) --editable '.[docs]'
	touch $@

clean:
	rm -rf .venv build dist site src/*.egg-info .mypy_cache .pytest_cache .ruff_cache
