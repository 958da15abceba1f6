"""HTTPS: turns the HTTP library's requests into Requests and sends Responses. The only place that knows
aiohttp.

Reading order: listener (socket, TLS, stop), exchange (one request).
"""
