"""`make docs`: updates the generated parts of the pages."""

from pathlib import Path

from docs.generate.pages import render_page

for page in sorted(Path(__file__).parents[1].glob("*.md")):
    text = page.read_text()
    if (new := render_page(text)) != text:
        page.write_text(new)
        print(f"docs/{page.name} updated")
