"""Figures, each beside a floor or a peer measured in the same run.

Owns: the programs behind ``./wherry bench``. Must never assert: a benchmark prints, a person judges.

Reading order: ``figures`` (how numbers are shown), ``up``, ``pods``, ``services`` (its world: ``vips``, its floors: ``service_floors``), ``cni``.
"""
