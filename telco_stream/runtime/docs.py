"""Links from messages to the documentation."""


def docs_link(page: str) -> str:
    """Return the URL of a page, or its path in the repository if the package's metadata has no documentation URL.

    The URL is `Documentation` under `[project.urls]` in `pyproject.toml`.
    """
    from importlib.metadata import PackageNotFoundError, metadata  # noqa: PLC0415 - slow, and only needed for an error

    try:
        urls = dict(entry.split(", ", 1) for entry in metadata("telco-stream").get_all("Project-URL") or [])
    except PackageNotFoundError:  # the code is run from a folder without being installed
        urls = {}
    return f"{urls.get('Documentation', 'docs').rstrip('/')}/{page}"
