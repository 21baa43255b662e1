"""What a server tells those who run it: whether it is well, what it counts, and what it does at the moment."""
