"""HTTP for archives and posters: one client with checked redirects, limits and retries."""
