"""The process and its interpreter: signals, exit, event loops, the GIL, and the form of the modules that run."""
