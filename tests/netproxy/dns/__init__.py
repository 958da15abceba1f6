"""Cluster DNS: what is answered, in bytes and over sockets."""
