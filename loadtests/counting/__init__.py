"""Counts of a request's instructions, which repeat exactly where times do not."""
