"""What few labels are worth: methods beside the untouched CLIP, by the number of labels, on several drawn worlds."""
