"""Where in an image presence and absence are seen (the paper's Figure 1), and how much the two maps share."""
