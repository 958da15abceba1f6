"""Tests mirror the packages; what needs root, containerd or a whole lab carries a marker."""
