"""`python -m threadserve`: the command line, on the main thread. It owns nothing and never returns."""

from threadserve.cli import main

main()
