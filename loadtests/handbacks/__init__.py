"""Idle connections that are given back and handed on at a high rate, and whether any of them loses something."""
