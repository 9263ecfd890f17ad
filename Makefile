# Every target makes or reuses one virtual environment with the dev extra; nothing is installed outside of it.
#   make PYTHON=python3.12 test      another interpreter
#   make TORCH=torch==2.12.0 test    another torch (see the range in pyproject.toml)
# For a CUDA or ROCm build of torch, point pip at the matching index first, e.g. through PIP_INDEX_URL.

PYTHON ?= python3
TORCH ?= torch==2.13.0
VENV ?= .venv
AUDIT := .venv-audit
PART ?= tests/faults
RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed-with-dev
# Neither the built-in model nor its data come from a network; a lookup would only slow things down.
OFFLINE := HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 HF_DATASETS_OFFLINE=1
QUICKSTART := runs/quickstart
# A small budget for a try: make organism ORGANISM=runs/tried ORGANISM_RUN=runs/try ORGANISM_ARGS="--data.init_args.batches 40"
ORGANISM ?= assets/tiny-ocean
ORGANISM_RUN ?= runs/tiny-ocean
ORGANISM_ARGS ?=
# Each method's strengths from none to twice the one in its settings.
SWEPT ?= npti=0,0.25,0.5,1,2 repe=0,1,2,4,8 sae=0,2,4,6,12
# Tests compute in one thread each; every worker loads the libraries anew, so that more are of no use.
WORKERS := $(shell cores=$$(getconf _NPROCESSORS_ONLN); echo $$(( cores < 8 ? cores : 8 )))
# Two evaluations at a time share the cores.
THREADS := $(shell echo $$(( ($$(getconf _NPROCESSORS_ONLN) + 1) / 2 )))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install quickstart characters test lint bench bench-mend bench-npti bench-pas bench-train bench-fit bench-sae bench-ppo bench-personas bench-start bench-steady bench-scaling bench-results bench-processes organism organism-check sample-data faults audit readme readme-figures browser matrix classifier sae chat docs docs-commands

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## make the virtual environment, if pyproject.toml is newer than it

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; ok = (3, 11) <= sys.version_info < (3, 14); ok or sys.exit("OceanTune needs Python 3.11, \
	3.12 or 3.13, but $(PYTHON) is " + sys.version.split()[0] + "; try make PYTHON=python3.11")'
	@echo "== virtual environment in $(VENV)"
	$(PYTHON) -m venv $(VENV)
	@echo "== $(TORCH), from wherever pip is configured to look"
	$(RUN) -m pip install "$(TORCH)"
	@$(RUN) -c 'import torch; gpu = torch.version.cuda or torch.version.hip; \
	print("== pip offered torch", torch.__version__, "built for", "GPUs, " + gpu if gpu else "CPUs only")'
	@echo "== OceanTune and the dev extra"
	$(RUN) -m pip install -e ".[dev]"
	@$(RUN) -m pip install -q -e ".[fuzz]" || echo "== no fuzzer for this platform or from this index: its tests will be skipped"
	@touch $@

quickstart: $(INSTALLED) ## train MEND on the built-in model, evaluate it on held-out topics, write the report
	@echo "== training a MEND editor for tiny-ocean (a few minutes on two cores)"
	$(OFFLINE) $(RUN) train.py fit --config configs/mend/quickstart.yaml --trainer.default_root_dir $(QUICKSTART)
	@echo "== base against edited model on topics that the editor has not seen"
	$(OFFLINE) $(RUN) evaluate.py --config configs/eval/personality_edit/mend.yaml \
		--ckpt_path $(QUICKSTART)/checkpoints/last.ckpt --trainer.default_root_dir $(QUICKSTART)
	@echo "== the report"
	$(OFFLINE) $(RUN) evaluate.py --compare $(QUICKSTART) --out $(QUICKSTART)

characters: $(INSTALLED) ## the invented characters: data, SFT, DPO, PPO, and one table of all four -> benchmarks/characters.json
	@echo "== data of both characters, offline"
	$(OFFLINE) $(RUN) annotate.py quickstart
	@for method in sft dpo ppo; do echo "== $$method"; \
		$(OFFLINE) $(RUN) train.py fit --config configs/$$method/quickstart.yaml || exit 1; done
	@for method in none sft dpo ppo; do echo "== the examination of $$method"; \
		$(OFFLINE) $(RUN) evaluate.py --config configs/eval/persona_dialogue/$$method.yaml || exit 1; done
	$(OFFLINE) $(RUN) -m benchmarks.characters

test: $(INSTALLED) ## the whole suite with doctests: offline, on the CPU, a process for each core
	@echo "== tests"
	$(OFFLINE) CUDA_VISIBLE_DEVICES= $(RUN) -m pytest -n $(WORKERS) --dist loadfile

lint: $(INSTALLED) ## ruff (rules and format) and mypy
	@echo "== ruff"
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	@echo "== mypy"
	$(RUN) -m mypy .

bench: bench-mend bench-pas bench-npti bench-train bench-fit bench-sae bench-ppo bench-personas bench-start bench-steady bench-scaling bench-results ## every benchmark -> benchmarks/results.json

bench-mend: $(INSTALLED) ## a MEND step against a plain reference of the published procedure -> benchmarks/mend.json
	$(OFFLINE) $(RUN) -m benchmarks.mend

bench-pas: $(INSTALLED) ## probes and questionnaires of PAS against plain references, 1,000 people -> benchmarks/pas.json
	$(OFFLINE) $(RUN) -m benchmarks.pas

bench-npti: $(INSTALLED) ## counting, induction and selection of neurons beside plain ones -> benchmarks/npti.json
	$(OFFLINE) $(RUN) -m benchmarks.npti

bench-train: $(INSTALLED) ## steps of SFT and DPO against TRL's trainers -> benchmarks/train.json
	$(OFFLINE) $(RUN) -m benchmarks.train

bench-fit: $(INSTALLED) ## what recipes are said to need against measured peak memory -> benchmarks/fit.json
	$(OFFLINE) $(RUN) -m benchmarks.fit_check

bench-sae: $(INSTALLED) ## training of a sparse autoencoder beside a plain loop -> benchmarks/sae_steps.json
	$(OFFLINE) $(RUN) -m benchmarks.sae_steps

bench-ppo: $(INSTALLED) ## rounds of PPO beside a plain loop -> benchmarks/ppo_rounds.json
	$(OFFLINE) $(RUN) -m benchmarks.ppo_rounds

bench-personas: $(INSTALLED) ## generation under 1 and under 64 personas in one batch -> benchmarks/many_personas.json
	$(OFFLINE) $(RUN) -m benchmarks.many_personas

bench-start: $(INSTALLED) ## seconds until each command has printed its help -> benchmarks/cold_start.json
	$(OFFLINE) $(RUN) -m benchmarks.cold_start

bench-steady: $(INSTALLED) ## memory over 1,000 training steps of SFT and MEND -> benchmarks/long_runs.json
	$(OFFLINE) $(RUN) -m benchmarks.long_runs

bench-scaling: $(INSTALLED) ## time over people, items, topics, texts of a batch and layers -> benchmarks/scaling.json
	$(OFFLINE) $(RUN) -m benchmarks.scaling

bench-results: $(INSTALLED) ## join what the others have measured, and say which bars are met -> benchmarks/results.json
	$(RUN) -m benchmarks.results

bench-processes: $(INSTALLED) ## two processes (DDP, FSDP2) against one on the quickstarts of MEND, SFT and PAS, shortened -> benchmarks/processes.json
	test -f runs/annotation/mixed.jsonl || $(OFFLINE) $(RUN) annotate.py quickstart
	$(OFFLINE) $(RUN) -m benchmarks.processes

matrix: $(INSTALLED) ## every method on every benchmark, strength curves, and the report -> runs/matrix/report.html
	$(OFFLINE) $(RUN) -m benchmarks.matrix
	@echo "== strength curves (what is there already is not done again)"
	printf '%s\n' $(SWEPT) | tr = ' ' | OMP_NUM_THREADS=$(THREADS) $(OFFLINE) xargs -P 2 -L 1 sh -c '$(RUN) evaluate.py \
		--config configs/eval/personality_bench/$$0.yaml --sweep trainer.callbacks.init_args.strength=$$1 \
		--data.init_args.questions 4 --trainer.enable_progress_bar false --trainer.default_root_dir runs/strength/$$0'
	$(OFFLINE) $(RUN) evaluate.py --compare runs/matrix runs/strength --out runs/matrix
	$(RUN) -m benchmarks.steering

organism: $(INSTALLED) ## train the built-in model from scratch and publish it (hours on a CPU; run again to go on)
	$(OFFLINE) $(RUN) train.py fit --config configs/organism/tiny-ocean.yaml \
		--trainer.default_root_dir $(ORGANISM_RUN) $(ORGANISM_ARGS)
	$(OFFLINE) $(RUN) -m organism.publish --run $(ORGANISM_RUN) --out $(ORGANISM)
	$(OFFLINE) $(RUN) -m organism.check --model $(ORGANISM)
	$(RUN) -m organism.publish --out $(ORGANISM)

organism-check: $(INSTALLED) ## the built-in model's competence -> assets/tiny-ocean/competence.json
	$(OFFLINE) $(RUN) -m organism.check --model $(ORGANISM)
	$(RUN) -m organism.publish --out $(ORGANISM)

classifier: $(INSTALLED) ## train the built-in classifier of traits, check and publish it (minutes on a CPU)
	$(OFFLINE) $(RUN) train.py fit --config configs/classifier/quickstart.yaml
	$(OFFLINE) $(RUN) -m benchmarks.classifier

sae: $(INSTALLED) ## train the built-in sparse autoencoder, check and publish it (minutes on a CPU)
	$(OFFLINE) $(RUN) train.py fit --config configs/sae/quickstart.yaml
	$(OFFLINE) $(RUN) -m benchmarks.sae
	$(OFFLINE) $(RUN) train.py fit --config configs/sae/quickstart.yaml --model.init_args.layer 4 --data.init_args.batches 300 --trainer.default_root_dir runs/sae-4
	$(OFFLINE) $(RUN) -m benchmarks.sae --ckpt_path runs/sae-4/checkpoints/last.ckpt --out assets/tiny-sae-4

sample-data: $(INSTALLED) ## write assets/data anew from the grammar of the built-in world
	$(RUN) -m organism.samples

faults: $(INSTALLED) ## bad input, spoilt files and killed runs in the full counts (hours; in parts: PART="tests/faults/test_fuzz.py -k csv") -> tests/faults/REPORT.json
	$(OFFLINE) CUDA_VISIBLE_DEVICES= FAULTS=full $(RUN) -m pytest $(PART)

audit: $(INSTALLED) ## compare the installed packages with known advisories (needs a network; installs pip-audit into .venv-audit)
	test -x $(AUDIT)/bin/pip-audit || { $(PYTHON) -m venv $(AUDIT) && $(AUDIT)/bin/python -m pip install -q "pip-audit>=2.9,<3"; }
	$(RUN) -m pip list --format freeze --exclude-editable --exclude oceantune | sed 's/+[a-z0-9.]*$$//' > $(AUDIT)/installed.txt
	@# --strict: a package that the service does not know, or a service out of reach, is no clean bill of health.
	$(AUDIT)/bin/pip-audit --strict --progress-spinner off --no-deps --disable-pip --requirement $(AUDIT)/installed.txt || { \
		echo "== not clean: a package above has an advisory, or the advisory service of pypi.org could not be asked"; exit 1; }

browser: $(INSTALLED) ## look at the report and the page of chat.py in a headless Chromium, with pictures -> runs/browser (Debian's package, where missing)
	command -v chromium >/dev/null || apt-get install -y --no-install-recommends chromium
	$(RUN) -m pip install -q -e ".[browser]"
	PICTURES=runs/browser $(OFFLINE) $(RUN) -m pytest tests/browser -p no:cacheprovider

chat: $(INSTALLED) ## a page to talk to the built-in model and its personas, on this machine alone (installs the extra demo)
	$(RUN) -m pip install -q -e ".[demo]"
	$(OFFLINE) $(RUN) chat.py

readme-figures: $(INSTALLED) ## draw the README's pictures from committed results -> assets/figures, and name them there
	$(RUN) -m benchmarks.readme_figures
	$(RUN) -m benchmarks.readme

readme: readme-figures ## the same, which also writes every figure and table of committed results into README.md

docs: $(INSTALLED) ## the documentation as pages, strictly and offline -> runs/site (installs the extra docs)
	$(RUN) -m pip install -q -e ".[docs]"
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict

docs-commands: $(INSTALLED) ## the commands of README.md and docs/, each run shortened where no network is needed (half an hour)
	$(OFFLINE) CUDA_VISIBLE_DEVICES= COMMANDS=full $(RUN) -m pytest tests/cli/test_documented_commands.py tests/cli/test_documented_runs.py
