"""Encryption: the TLS contexts of connections, and certificates."""
