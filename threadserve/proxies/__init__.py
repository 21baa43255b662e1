"""The protocols by which proxies tell a server about clients, and the trust in them."""
