"""What was measured: how it is kept, and what is made of several rounds."""
