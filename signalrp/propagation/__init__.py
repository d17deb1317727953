"""The LRP engine."""
