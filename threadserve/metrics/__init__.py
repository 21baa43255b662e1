"""Counters and measurements of a server. Each loop counts for itself; readers add up what they read."""
