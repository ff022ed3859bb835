"""The gateway: ends WebSockets, tells the other services by topics, and fans deliveries out."""
