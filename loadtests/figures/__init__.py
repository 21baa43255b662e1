"""The figures to reach: what is measured, of which server, against which peers, and the result wanted."""
