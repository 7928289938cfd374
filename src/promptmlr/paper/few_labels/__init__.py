"""Methods beside the untouched CLIP, by the number of labels, on several drawn worlds."""
