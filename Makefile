# One command a job; each first sets up what it needs (scripts/setup.sh), which takes no time when it is there.
MAKEFLAGS += --no-print-directory
export PATH := $(CURDIR)/.venv/bin:$(PATH):/usr/sbin:/sbin

.PHONY: help demo test check tools bench soak clean distclean
help:
	@echo "make demo    see Caretaker at work on this machine (ARGS='--for 60 --json' for a bounded run)"
	@echo "make check   format, lint, types, import contracts and the fast half of the tests"
	@echo "make test    all of that and every test, on real servers"
	@echo "make bench   measure it: everything in bench/ that can be run (ARGS are handed on to each)"
	@echo "make soak    a million machine-hours of hostile timing against the rules, about 15 minutes"
	@echo "             (ARGS='--machine-hours 100000 --processes 2 --seed 7'; a seed that breaks one is printed)"
	@echo "make clean   remove what runs have made; make distclean removes .venv too"

demo:
	@scripts/setup.sh demo && exec caretaker demo $(ARGS)

check: tools
	@pytest -m "not slow" $(ARGS)

test: tools
	@pytest -n 2 --dist loadfile -m "not alone" --durations=10 $(ARGS) || [ $$? -eq 5 ]
	@pytest -m alone --durations=10 $(ARGS) || [ $$? -eq 5 ]

tools:
	@scripts/setup.sh test
	@ruff format --check .
	@ruff check .
	@mypy
	@lint-imports

bench:
	@scripts/setup.sh bench
	@for bench in $$(grep -l __main__ bench/*.py); do echo "# $$bench" >&2 && python $$bench $(ARGS) || exit 1; done

soak:
	@scripts/setup.sh test && exec python tests/soak.py $(ARGS)

clean:
	@rm -rf demo-out bench-out build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

distclean: clean
	@rm -rf .venv
