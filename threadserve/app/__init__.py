"""The application's side of the server: loading it, its lifespan, and the interfaces that it may have."""
