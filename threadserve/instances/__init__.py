"""Several copies of a project's modules in one process: one instance for each thread that serves."""
