# Two commands on a fresh machine: `make demo` and `make test`.
PYTHON ?= $(shell .ci/find-python 3.11 3.12 3.13)
PYTHON313 ?= $(shell .ci/find-python 3.13)
VENV ?= .venv
VENV313 ?= .venv-py313
# The plugin's tests run under the Python that QGIS brings along, its gate and Qt 6 under this project's.
VENV_QGIS ?= .venv-qgis
VENV_QT6 ?= .venv-qt6
VENV_GATE ?= .venv-gate
VENV_DOCS ?= .venv-docs
LONG_EVERY ?= 1
# Test processes at a time.
JOBS ?= 2
DEMO ?= demo
# A real picture, where there is one: fields that the default model never saw in training.
REAL ?= ../shared/data/georef/fields_naip/naip_42.6745_-89.6856.tif
# Likewise, with labelled roofs to click: a folder with image.tif and labels.gpkg.
ROOFS ?= ../shared/data/georef/buildings_zanzibar_1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

BIN := $(VENV)/bin
# What a newer GDAL could answer differently.
RASTER_AND_GEOMETRY := $(addprefix tests/,geometry scene vector prompts objects/test_stitcher.py)

# In processes of their own: networks change the settings of the allocator, and the oracles and OpenVINO bring many
# libraries along. A process that had all of them and went on to other tests has crashed now and then.
NETWORKS := tests/segmenters
WITH_NETWORKS := tests/training tests/run/test_network_runs.py

.DEFAULT_GOAL := help
.PHONY: help demo test test-long test-py313 lint house format bench docs notebooks docs-picture clean
.PHONY: plugin plugin-copies plugin-texts plugin-gate test-plugin test-plugin-if-possible test-plugin-qt6 test-plugin-application

help:  ## Show this list.
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 25

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
	sed '/^# For the docs site/,$$d' constraints.txt | grep -v -e '^torch==' -e '^openvino' > $(VENV313)/packages.txt
	$(VENV313)/bin/pip install --quiet --no-deps -r $(VENV313)/packages.txt
	$(VENV313)/bin/pip install --quiet --no-deps -e .
	@touch $@

demo: $(VENV)/.ready  ## Render a scene, segment it, draw the result, compare it with the truth; then a real picture.
	$(BIN)/python -m geosam.apps.demo $(DEMO)
	$(BIN)/geosam segment $(DEMO)/scene.tif -o $(DEMO)/segments.gpkg --overwrite
	$(BIN)/geosam preview $(DEMO)/scene.tif $(DEMO)/segments.gpkg -o $(DEMO)/preview.png --overwrite
	$(BIN)/geosam evaluate $(DEMO)/segments.gpkg $(DEMO)/truth.gpkg
	@if test -f $(REAL); then \
	  $(BIN)/geosam segment $(REAL) -o $(DEMO)/real.gpkg --overwrite && \
	  $(BIN)/geosam preview $(REAL) $(DEMO)/real.gpkg -o $(DEMO)/real.png --overwrite; \
	fi
	@echo "Of the demo scene: roofs, fields and water are found best; cars and crowns are small in pixels of 0.2 m."
	@echo "Its polygons elsewhere are lawns, drives, shadows and the street: the truth leaves them out."
	@echo "Look at $(DEMO)/preview.png, or open $(DEMO)/scene.tif and $(DEMO)/segments.gpkg in QGIS."

# One thread for a network in each process; what measures time or memory, or sends signals, runs alone afterwards.
PARALLEL := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) -m 'not slow and not serial'

test: lint $(VENV)/.oracles  ## Lint, types, every test that takes less than a minute; the plugin's where QGIS is.
	$(PARALLEL) $(addprefix --ignore=,$(NETWORKS) $(WITH_NETWORKS))
	$(PARALLEL) $(NETWORKS)
	$(PARALLEL) $(WITH_NETWORKS)
	$(BIN)/python -m pytest -m 'serial and not slow' $(addprefix --ignore=,$(NETWORKS) $(WITH_NETWORKS))
	$(BIN)/python -m pytest -m 'serial and not slow' $(NETWORKS)/weights
	@$(MAKE) --no-print-directory test-plugin-if-possible

test-long: $(VENV)/.oracles  ## The long tests; LONG_EVERY=5 takes every fifth.
	$(BIN)/python -m pytest -m slow --collect-only -q --no-header | grep '::' | awk '(NR - 1) % $(LONG_EVERY) == 0' > $(VENV)/long-tests
	$(BIN)/python -m pytest @$(VENV)/long-tests

test-py313: $(VENV313)/.ready  ## Raster and geometry tests on Python 3.13, which brings a newer GDAL.
	$(VENV313)/bin/python -m pytest -m 'not slow' $(RASTER_AND_GEOMETRY)

# What the plugin's tests start; QGIS without a display wants to be told so.
WITH_WORKER := GEOSAM_WORKER='$(abspath $(BIN))/geosam' QT_QPA_PLATFORM=offscreen

$(VENV_QGIS)/.ready: qgis_plugin/tests/requirements.txt
	python=$$(.ci/find-qgis) && "$$python" -m venv --system-site-packages $(VENV_QGIS)
	$(VENV_QGIS)/bin/pip install --quiet -r qgis_plugin/tests/requirements.txt
	@touch $@

$(VENV_QT6)/.ready: qgis_plugin/tests/qt6/requirements.txt
	$(PYTHON) -m venv $(VENV_QT6)
	$(VENV_QT6)/bin/pip install --quiet -r qgis_plugin/tests/qt6/requirements.txt
	@touch $@

$(VENV_GATE)/.ready: qgis_plugin/gate.txt
	$(PYTHON) -m venv $(VENV_GATE)
	$(VENV_GATE)/bin/pip install --quiet -r qgis_plugin/gate.txt
	@touch $@

plugin-copies:  ## Bring the plugin's copies of shared modules up to date.
	$(PYTHON) qgis_plugin/package.py copies

plugin-texts:  ## Bring the lists of texts to translate up to date.
	$(PYTHON) qgis_plugin/translations.py

plugin: plugin-copies  ## Build the QGIS plugin's zip, dist/geosam_qgis-VERSION.zip.
	$(PYTHON) qgis_plugin/package.py zip dist

plugin-gate: plugin $(VENV_GATE)/.ready  ## What the repository of plugins checks on an upload.
	$(VENV_GATE)/bin/python qgis_plugin/gate.py "$$(ls -t dist/geosam_qgis-*.zip | head -n 1)"

test-plugin: $(VENV)/.ready $(VENV_QGIS)/.ready  ## The plugin in a real QGIS without a window.
	runtime=$$(mktemp -d) && trap 'rm -rf "$$runtime"' EXIT && \
	  $(WITH_WORKER) XDG_RUNTIME_DIR="$$runtime" $(VENV_QGIS)/bin/python -m pytest -c qgis_plugin/pytest.ini \
	  qgis_plugin/tests --ignore=qgis_plugin/tests/application --ignore=qgis_plugin/tests/qt6

test-plugin-if-possible:
	@if .ci/find-qgis >/dev/null 2>&1 || test -n "$(CI)"; then $(MAKE) --no-print-directory test-plugin; \
	  else echo "Left out: the plugin's tests. $$(.ci/find-qgis 2>&1)"; fi

test-plugin-qt6: $(VENV)/.ready $(VENV_QT6)/.ready  ## Every module of the plugin, and its client for real, under Qt 6.
	$(WITH_WORKER) $(VENV_QT6)/bin/python -m pytest -c qgis_plugin/tests/qt6/pytest.ini \
	  --confcutdir=qgis_plugin/tests/qt6 qgis_plugin/tests/qt6

test-plugin-application: $(VENV)/.ready  ## The whole QGIS on a display of its own, with real mouse and keys.
	$(WITH_WORKER) GEOSAM_ROOFS='$(abspath $(ROOFS))' $(BIN)/python -m pytest -c qgis_plugin/tests/application/pytest.ini \
	  --confcutdir=qgis_plugin/tests/application qgis_plugin/tests/application

lint: $(VENV)/.ready  ## Style and types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

house: $(VENV)/.ready  ## The house rules: rooms, names, words; prints the figures and fails where one is broken.
	$(BIN)/python tests/house.py --strict

format: $(VENV)/.ready  ## Rewrite the code in the one style.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.oracles  ## Benchmarks, one after the other.
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

# Without geosam: the site reads the docstrings from the source.
$(VENV_DOCS)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV_DOCS)
	$(PYTHON) -c "import tomllib; file = open('pyproject.toml', 'rb'); \
	  print(*tomllib.load(file)['project']['optional-dependencies']['docs'], sep='\n')" > $(VENV_DOCS)/packages.txt
	$(VENV_DOCS)/bin/pip install --quiet -c constraints.txt -r $(VENV_DOCS)/packages.txt
	@touch $@

docs: $(VENV_DOCS)/.ready  ## Build the docs site into build/site; MERMAID=FILE keeps its drawings offline, too.
	NO_MKDOCS_2_WARNING=1 $(VENV_DOCS)/bin/mkdocs build --strict --quiet

notebooks: $(VENV)/.ready  ## Run the notebooks from top to bottom; the site then shows what they found.
	$(BIN)/python docs/_site/run_notebooks.py

docs-picture: demo  ## Draw the picture of the front page anew.
	$(BIN)/python docs/_site/picture.py $(DEMO)

clean:  ## Remove environments and what the demo made.
	rm -rf $(VENV) $(VENV313) $(VENV_QGIS) $(VENV_QT6) $(VENV_GATE) $(VENV_DOCS) $(DEMO) build dist qgis_plugin/.qgis-settings
