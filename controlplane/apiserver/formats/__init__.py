"""Formats: in which encoding and shape an answer is sent, chosen by the Accept header.

Owns content negotiation and every encoding but plain JSON (which the core serves from stored bytes): Tables,
metadata only, YAML, protobuf. Never changes an object and never decides what is answered.

Reading order: `accept` (the header as values), `encodings` (the shapes), `negotiate` (the choice).
"""
