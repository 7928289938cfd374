"""What a data set holds, before anything is trained on it: labels, images, and how CLIP will read its class names."""
