"""DaemonSet: one pod of a template on every node that takes it.

Owns: pods with a DaemonSet as controller, its ControllerRevisions and its status.
Must never: take away more available pods than maxUnavailable for an update.
Reading order: placing, rolling, plan, revisions, backoff, controller.
"""
