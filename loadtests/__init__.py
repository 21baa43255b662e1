"""Measures threadserve against its peers. `python -m loadtests` repeats every figure; README.md here says how."""
