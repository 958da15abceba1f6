"""The cache: every object in memory as its wire bytes, and every watch served from one log of shared bytes.

Owns what is current, the recent history and the watchers. Follows the store and never writes to it; knows
nothing of validation or of who asks. An object is encoded once when it is written and an event once per
encoding, never per client.

    store batch -> Cache.deliver -> Collection.apply -> Entry (bytes) -> Event -> frame bytes -> every
    Watcher's queue

Reading order: entry, selectable, select, events, watcher, collection, cache.
"""
