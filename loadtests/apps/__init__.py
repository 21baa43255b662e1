"""The applications under load: the same module for every server of a figure."""
