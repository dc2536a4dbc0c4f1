"""Faults for a whole cluster, and the judge who says whether it kept its promises meanwhile."""
