"""The names of Uvicorn's that programs written for it use, and that this server does not need itself."""
