"""`make screenshots`: updates docs/images from real runs."""

from pathlib import Path

from docs.screenshots import airflow_pages, report_page, terminals

IMAGES = Path(__file__).parents[1] / "images"

for shoot in [terminals.shoot, report_page.shoot, airflow_pages.shoot]:
    for image in shoot(IMAGES):
        print(f"docs/images/{image.name}: {image.stat().st_size:,} bytes")
