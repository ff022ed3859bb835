"""The one-machine run behind `make run`: embedded servers, the three services, a demo key and replayed market data."""
