"""Export of a run: one ONNX file, or a folder in the Hugging Face Hub's layout."""
