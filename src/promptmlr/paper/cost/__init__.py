"""What training costs, as released and as here."""
