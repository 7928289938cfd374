"""Presence and absence maps over images (the paper's Figure 1), and how much the two maps agree."""
