"""Resource quotas: how much of what a namespace may hold.

Owns what an object counts, what a quota covers, and how much of each quota is used: kept in this server's own memory,
exact because every write reserves before it is stored. The status of each quota is written from there. Must never let
more be stored than a quota allows, however many writes come at once, and through however many servers.
Source: the resource quota concept page; KEP-1208 (scopes), the count/RESOURCE.GROUP syntax.

Reading order: usage (what an object counts), devices (what claims of devices count), coverage (what a quota covers),
account (what is used of one), fences and rooms (what a write reserves, and beside other servers' writes), ledger (all
accounts), plugin.
"""
