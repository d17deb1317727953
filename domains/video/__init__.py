"""Video: which frames, which place, and whether the border of the clip counts too much."""
