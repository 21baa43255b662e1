"""Soak and chaos: a server under mixed load for long, while clients misbehave and parts of it are made to die."""
