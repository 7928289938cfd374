"""Methods compared with CLIP's zero-shot, by the number of labels, on several drawn worlds."""
