"""Formats: in which encoding and shape an answer is sent, chosen by the Accept header.

Owns content negotiation and every encoding but plain JSON (which the core serves from stored bytes): YAML, protobuf
and JSON for people, each of objects whole, as Tables or as metadata only; and when an answer is compressed. Never
changes an object and never decides what is answered.

Reading order: `media` (names of types), `accept` (the header as values), `encodings` (values as bytes), `shapes` (what
of an object is shown), `negotiate` (the choice), `compression`.
"""
