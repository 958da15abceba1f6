"""Defaults: what an object holds that nobody wrote, and which zero values are shown.

Owns three tables over the types of the published definitions (never over kinds): values that fields get when absent
(core, workloads, others), fields whose zero value is always shown, and fields whose zero value is as good as absent
(zeros). compiled turns them into one pass per kind. Must never look at another object or at the clock.

Reading order: compiled, zeros, core, workloads, others.
"""

from controlplane.apiserver.defaults.compiled import apply, bare, blank, settle

__all__ = ["apply", "bare", "blank", "settle"]
