"""How much of each ResourceQuota is used, counted from what is there: the loop beside an API server that does not.

Our own API server keeps the statuses of quotas itself, write by write (`apiserver/admission/quota`, whose rules of what
counts are used here, too), and needs no loop. Upstream's adds what it admits and leaves what becomes free to this loop.
So it runs only where it is named in `controllers`.

Reading order: plan, controller.
"""
