"""The results: how they are kept, and the medians of several rounds."""
