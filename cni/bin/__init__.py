"""The executables a runtime calls. `stub.py` is copied, not imported: it must start in milliseconds."""
