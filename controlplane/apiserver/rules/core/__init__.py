"""The rules of the core group: pods and all below them first, then what else it holds."""
