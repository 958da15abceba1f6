"""From a checked tree to what it is worth, at a bounded cost."""
