"""Expressions about requests: what they may name, how they are compiled, and what they are worth for one request."""
