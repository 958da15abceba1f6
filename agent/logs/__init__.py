"""Container logs: files the runtime writes, read for clients and kept from growing.

Must never write into a log file; rotation renames and asks the runtime to open a new one. Reading order:
lines (the format, pure), read (tail and follow), rotate.
"""
