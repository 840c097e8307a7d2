"""`make docs`: writes the generated parts of the pages anew."""

from pathlib import Path

from docs.generate.pages import renewed

for page in sorted(Path(__file__).parents[1].glob("*.md")):
    text = page.read_text()
    if (new := renewed(text)) != text:
        page.write_text(new)
        print(f"docs/{page.name} is written anew")
