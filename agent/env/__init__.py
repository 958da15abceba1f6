"""Environment variables of containers and the credentials of their images.

Owns the rules by which values, references and Service links become variables. Must never touch a pod or
talk to the runtime. Reading order: variables (the pure rules),
credentials (pull secrets, pure), build (gathers the objects and applies the rules).
"""
