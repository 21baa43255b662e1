"""The settings, a file for each heading of the help. Nothing here runs: these are declarations."""
