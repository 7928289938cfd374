"""What was found, as text, as Markdown and as one self-contained page; figures, tables and numbers in them."""
