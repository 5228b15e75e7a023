# The commands a person types. `make` alone lists them.
python := .venv/bin/python
.DEFAULT_GOAL := help
.PHONY: help install install-study demo test test-quick bench everything up down backup restore lint format types docs lock dev

help:  ## list these commands
	@awk -F ':.*## ' '/^[a-z0-9%-]+:.*## / { sub("%", "NAME", $$1); printf "  make %-14s %s\n", $$1, $$2 }' Makefile

install:  ## make .venv with all that a run needs (the other commands do it by themselves)
	@sh devops/install.sh demo

install-study:  ## install what studies need besides; on a machine with a GPU: EXTRAS=gpu
	@sh devops/install.sh study $(EXTRAS)

dev:
	@sh devops/install.sh dev

# Enough for lock, which must also work while pyproject.toml and requirements.lock disagree.
.venv/bin/python:
	@sh devops/install.sh dev

demo: install  ## train, cluster, test and lesion a small network, every run recorded
	$(python) experiments/pipeline.py with demo

# Of configs/study/NAME.yaml; a hyphen stands for an underscore, too.
study-%: install-study  ## compute a study: make study-lesions; its quick variant: make study-lesions ARGS=quick
	$(python) experiments/study.py with $(subst -,_,$*) $(ARGS)

# Data sets, networks, clusterings and tests. A study that cannot be had here does not keep the others away.
studies := clusterability_mlp lesions k_stability clusterability_gradient random_init older_conditions \
    clusterability_cnn visualisation clusterability_vgg lesions_vgg visualisation_vgg \
    imagenet imagenet_lesions imagenet_visualisation
everything: install-study  ## all studies, one after the other: weeks, and GPUs; ARGS=quick: an hour on two cores
	@failed=; for study in $(studies); do \
	    echo "$(python) experiments/study.py with $$study $(ARGS)"; \
	    $(python) experiments/study.py with $$study $(ARGS) || failed="$$failed $$study"; \
	done; \
	test -z "$$failed" || { echo "These studies are not complete:$$failed" >&2; exit 1; }

up: install  ## start MongoDB and Omniboard, to look at the recorded runs
	$(python) -m nn_clustering.tracking up

down: install  ## stop them
	$(python) -m nn_clustering.tracking down

backup: install  ## write all runs into one file in backups/, or elsewhere: make backup TO=PATH
	$(python) -m nn_clustering.tracking backup $(if $(TO),--to "$(TO)")

restore: install  ## put a backup into a store without runs: make restore FROM=FILE
	$(python) -m nn_clustering.tracking restore "$(FROM)" $(if $(INTO),--into "$(INTO)")

bench: install  ## measure speed beside other libraries
	$(python) -m benchmarks

# Tests of one file share what takes long to make; a worker that has nothing left takes some over.
test: dev  ## run the tests; some of them: make test ARGS="-k lesions"
	$(python) -m pytest -n 2 --dist worksteal $(ARGS)

test-quick: dev  ## run in two minutes those tests that need neither a server nor a browser
	$(python) -m pytest -n 2 --dist worksteal -m "not server and not browser and not slow" $(ARGS)

lint: dev  ## check style, format and types
	$(python) -m ruff check .
	$(python) -m ruff format --check .
	$(python) -m mypy

format: dev  ## put the code into shape
	$(python) -m ruff check --fix .
	$(python) -m ruff format .

types: dev  ## check types alone
	$(python) -m mypy

docs: dev  ## build the documentation into build/docs; warnings are errors
	NO_MKDOCS_2_WARNING=1 $(python) -m mkdocs build --strict

lock: .venv/bin/python  ## renew requirements.lock after a change of pyproject.toml; all of it: ARGS=--upgrade
	$(python) -m pip install --quiet uv
	$(python) -m uv pip compile --quiet --universal --python-version 3.10 --all-extras \
	    --no-annotate --custom-compile-command "make lock" $(ARGS) \
	    --output-file requirements.lock pyproject.toml
