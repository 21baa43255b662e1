"""What people look at of a comparison: a page, plots and a table, made of its results alone."""

from loadtests.reports.writing import require, write

__all__ = ["require", "write"]
