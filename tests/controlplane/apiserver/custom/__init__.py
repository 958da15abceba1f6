"""Tests of custom resources that are served."""
