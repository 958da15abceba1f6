"""StatefulSet: pods with names, places and claims of their own, one after the other.

Owns: pods with a StatefulSet as controller, the claims made from its templates (and whose they are), its
ControllerRevisions and its status.
Must never: let two pods of one ordinal be there, or go on to the next ordinal while an OrderedReady one is not
available.
Reading order: identity (names and places), retention (whose a claim is), revisions, plan, status, controller.
"""
