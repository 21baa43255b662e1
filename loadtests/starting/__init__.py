"""The time that a server takes to start, and its memory then, by the number of its threads."""
