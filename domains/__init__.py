"""Domain adapters: what a field adds to the shared core."""
