"""Micro-benchmarks for whoever works on threadserve: what parts of the way of a request cost, without sockets."""
