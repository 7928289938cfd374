"""Words of absence in files of captions: what counts as one, how well that is judged, and counting them."""
