"""Multi-label recognition from partial labels on a frozen CLIP."""
