"""What the server fills in, drops and takes for an object, where that differs from kind to kind.

Functions for the rows of resources/: nothing here is called but by way of a kind's Strategy. Owns the pools that
cluster addresses and node ports are drawn from.
"""
