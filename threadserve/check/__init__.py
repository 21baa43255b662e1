"""`threadserve --check`: says what of an application will not survive threads, without serving it."""
