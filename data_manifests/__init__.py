"""Manifests of the public data sets that signalrp knows how to fetch and verify."""
