"""The wire protocol, sans-IO: commands in, effects out. Knows no socket, no clock and no broker."""
