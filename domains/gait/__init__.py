"""Gait: ground reaction forces and joint angles."""
