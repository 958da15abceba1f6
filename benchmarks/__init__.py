"""Figures, each beside a floor or a peer measured in the same run.

Owns: the programs behind `./wherry bench`. Must never assert: a benchmark prints, a person judges.

Reading order: `figures` (how numbers are shown), `up`, `pods`, `services` (its world is in `vips`, its
floors in `service_floors`), `cni`.
"""
