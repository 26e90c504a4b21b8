# ovms-edge: `make` shows the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NODE_TOOL := roles/node_agent/files/ovms-node
PIP_INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check
# Two for each core: many tests wait for what they have started.
SIDE_BY_SIDE := -n $(shell n=$$(nproc); echo $$((n < 4 ? 2 * n : 8)))
# Some container images set it; hundreds of Pythons would compile our sources, and pytest its tests, again and again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo down test venv node-tool lint unit format role-docs lab-tests molecule molecule-roles test-vm bench bench-switch lock clean

help: ## Show this
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

demo: ## Three lab stores, from bare to serving, on this machine
	@lab/demo

down: ## Remove all that the demo made on this machine
	@lab/lab down --all

test: ## Every check: lint, unit, the lab from bare to serving, molecule, contract, faults
	@tools/test

venv: $(VENV)/.ready ## The Python environment, from hashed pins

# torch comes first and alone: which of its builds (CPU or CUDA) fits a machine is for pip's configuration to say.
$(VENV)/.ready: pyproject.toml constraints.txt tools/pip.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP_INSTALL) --require-hashes -r tools/pip.txt
	@$(BIN)/python tools/dependencies.py > $(VENV)/dependencies.txt
	@$(PIP_INSTALL) --no-deps "$$(grep '^torch==' $(VENV)/dependencies.txt)"
	@$(PIP_INSTALL) -r $(VENV)/dependencies.txt -c constraints.txt
	@$(PIP_INSTALL) --no-deps -e .
	@touch $@

node-tool: $(NODE_TOOL) ## The zipapp ovms-node that role node_agent installs

$(NODE_TOOL): tools/build_node_tool.py $(shell find src/ovms_edge/node src/ovms_edge/ovms src/ovms_edge/*.py -name '*.py')
	@$(PYTHON) tools/build_node_tool.py $@

lint: venv node-tool ## ruff, mypy, shellcheck, yamllint, ansible-lint
	@tools/lint

unit: venv node-tool ## Unit tests
	@$(BIN)/pytest -q $(SIDE_BY_SIDE) --dist worksteal tests/unit

format: venv ## Rewrite the Python sources in the project's format
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

role-docs: venv ## Rewrite the input tables of the role READMEs, and the doctor's checks
	@$(BIN)/python tools/role_docs.py
	@$(BIN)/python tools/doctor_docs.py

lab-tests: venv ## Contract, end-to-end and testinfra tests on the running lab
	@PATH="$(CURDIR)/$(BIN):$$PATH" pytest -n 2 --dist loadfile --no-loadscope-reorder --durations 40 tests/contract tests/e2e tests/testinfra

molecule: venv node-tool ## Molecule: all of site.yml on every system, with other values, an upgrade, a rollback
	@tools/molecule default full upgrade rollback

molecule-roles: venv node-tool ## Molecule: each role by itself on every system (before a release)
	@OVMS_EDGE_SYSTEMS="debian-12 debian-13 ubuntu-22.04 ubuntu-24.04" tools/molecule $(notdir $(wildcard roles/*))

test-vm: ## A store from its bare disk to serving, on a real kernel with real reboots (QEMU; before a release)
	@lab/demo --supply
	@$(MAKE) --no-print-directory node-tool
	@PATH="$(CURDIR)/$(BIN):$$PATH" pytest --durations 12 tests/vm

bench: venv ## Controller CPU per store, on the running lab
	@$(BIN)/python benchmarks/controller_cost.py

bench-switch: venv node-tool ## What switches cost requests, in both tiers and beside OVMS's reload
	@$(BIN)/python benchmarks/switch.py

lock: venv ## Resolve pyproject.toml into constraints.txt
	@$(BIN)/python tools/lock.py

clean: ## Remove caches and build output, not the lab
	@rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .ansible $(NODE_TOOL)
