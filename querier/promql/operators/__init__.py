"""Nodes of a plan, one call of the native engine each."""
