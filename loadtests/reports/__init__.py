"""What people look at of a run: a page, plots and a table, made of its record alone."""
