"""What programs that were written for Uvicorn find here under its names, and this server does not need itself."""
