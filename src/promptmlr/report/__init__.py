"""Results as text, as Markdown and as one self-contained page, with their figures, tables and numbers."""
