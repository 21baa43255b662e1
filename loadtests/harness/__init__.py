"""The one harness: it starts servers in turn, puts them under load, and records what comes out."""
