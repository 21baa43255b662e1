"""The clients that put load on a server where wrk cannot: each runs as a process of its own and prints JSON."""
