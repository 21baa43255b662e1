"""Several copies of a project's modules in one process, one for each thread that serves."""
