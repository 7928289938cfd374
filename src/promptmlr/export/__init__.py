"""A run for use elsewhere: one ONNX file, or a folder in the Hugging Face Hub's layout."""
