"""Connections to Redis where redis-py is too slow, and where its servers are: one, behind Sentinels, or a Cluster."""
