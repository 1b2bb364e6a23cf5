# Two commands on a fresh machine: `make demo` and `make test`.
PYTHON ?= $(shell .ci/find-python 3.11 3.12 3.13)
PYTHON313 ?= $(shell .ci/find-python 3.13)
VENV ?= .venv
VENV313 ?= .venv-py313
LONG_EVERY ?= 1
DEMO ?= demo
# A real picture, where there is one: fields that the default model never saw in training.
REAL ?= ../shared/data/georef/fields_naip/naip_42.6745_-89.6856.tif
export PIP_DISABLE_PIP_VERSION_CHECK := 1

BIN := $(VENV)/bin
# What a newer GDAL could answer differently.
RASTER_AND_GEOMETRY := $(wildcard $(addprefix tests/test_,$(addsuffix *.py,\
  scene geobox grid radiometry measure masks corners polygonize stitch planar export vector layers prompt placement)))

# In a process of their own: networks change the settings of the allocator, and the oracles bring many libraries along.
WITH_NETWORKS := tests/models tests/training tests/integration/test_network_runs.py

.DEFAULT_GOAL := help
.PHONY: help demo test test-long test-py313 lint format bench clean

help:  ## Show this list.
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -c constraints.txt torch
	$(BIN)/pip install --quiet -c constraints.txt -e '.[openvino,test]'
	@touch $@

# The authors' own implementations, which the tests compare with. Their requirements would bring another torch.
$(VENV)/.oracles: $(VENV)/.ready tests/oracles.txt
	SAM2_BUILD_CUDA=0 $(BIN)/pip install --quiet --no-deps --no-build-isolation -r tests/oracles.txt
	@touch $@

# Without torch: what runs there needs none.
$(VENV313)/.ready: pyproject.toml constraints.txt
	$(PYTHON313) -m venv $(VENV313)
	grep -v -e '^torch==' -e '^openvino' constraints.txt > $(VENV313)/packages.txt
	$(VENV313)/bin/pip install --quiet --no-deps -r $(VENV313)/packages.txt
	$(VENV313)/bin/pip install --quiet --no-deps -e .
	@touch $@

demo: $(VENV)/.ready  ## Render a scene, segment it, draw the result, compare it with the truth; then a real picture.
	$(BIN)/python -m geosam.demo $(DEMO)
	$(BIN)/geosam segment $(DEMO)/scene.tif -o $(DEMO)/segments.gpkg --overwrite
	$(BIN)/geosam preview $(DEMO)/scene.tif $(DEMO)/segments.gpkg -o $(DEMO)/preview.png --overwrite
	$(BIN)/geosam evaluate $(DEMO)/segments.gpkg $(DEMO)/truth.gpkg
	@if test -f $(REAL); then \
	  $(BIN)/geosam segment $(REAL) -o $(DEMO)/real.gpkg --overwrite && \
	  $(BIN)/geosam preview $(REAL) $(DEMO)/real.gpkg -o $(DEMO)/real.png --overwrite; \
	fi
	@echo "Look at $(DEMO)/preview.png, or open $(DEMO)/scene.tif and $(DEMO)/segments.gpkg in QGIS."

test: lint $(VENV)/.oracles  ## Lint, types, and every test that takes less than a minute.
	$(BIN)/python -m pytest -m 'not slow' $(addprefix --ignore=,$(WITH_NETWORKS))
	$(BIN)/python -m pytest -m 'not slow' $(WITH_NETWORKS)

test-long: $(VENV)/.oracles  ## The long tests; LONG_EVERY=5 takes every fifth.
	$(BIN)/python -m pytest -m slow --collect-only -q --no-header | grep '::' | awk '(NR - 1) % $(LONG_EVERY) == 0' > $(VENV)/long-tests
	$(BIN)/python -m pytest @$(VENV)/long-tests

test-py313: $(VENV313)/.ready  ## Raster and geometry tests on Python 3.13, which brings a newer GDAL.
	$(VENV313)/bin/python -m pytest -m 'not slow' $(RASTER_AND_GEOMETRY)

lint: $(VENV)/.ready  ## Style and types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.ready  ## Rewrite the code in the one style.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.oracles  ## Benchmarks, one after the other.
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

clean:  ## Remove environments and what the demo made.
	rm -rf $(VENV) $(VENV313) $(DEMO) build dist
