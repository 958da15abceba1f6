"""The Common Expression Language: compile, check, evaluate, at a bounded cost. README.md says why it is our own."""
