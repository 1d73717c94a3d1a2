"""Web pages and JSON over the published tables, and the reads behind them."""
