"""The version of threadserve. Runs on no thread: it holds a name."""

__version__ = "0.1.0"
