"""The application: finding, importing and instancing it, its lifespan, and the interfaces that it may have."""
