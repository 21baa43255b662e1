"""A Django application of models alone."""
