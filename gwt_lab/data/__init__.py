"""From venues and files to clean bars: catalog, importers, quality checks, downloads, synthetic markets."""
