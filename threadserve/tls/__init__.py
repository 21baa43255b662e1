"""Encryption: the contexts of connections, and what certificates say."""
