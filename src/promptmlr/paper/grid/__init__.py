"""Methods compared on one data set: a grid of runs, its folder, its numbers, and what is shown of them."""
