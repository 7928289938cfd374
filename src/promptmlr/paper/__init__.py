"""What reproduces the paper and tests its hypothesis: methods and sides compared, and what comes of it."""
