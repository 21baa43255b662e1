"""The reports of a run for people to look at: a page, plots and tables, made of its record alone."""
