"""The load generators: how each is run, and how its report is read."""
