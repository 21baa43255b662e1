"""The admin address: health, metrics and the current state of a server, for those who run it."""
