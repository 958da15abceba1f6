"""Advice: what is accepted, and yet worth a warning to whoever writes it.

Owns the texts that upstream sends as Warning headers for an object's content, and ours for what has no effect yet. Pure
functions of the new object; must never refuse anything (validation does) nor change it.

Reading order: kinds, then pods; gaps (what nobody acts on yet).
"""
