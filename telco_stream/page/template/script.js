"use strict";
(() => {
  const table = document.querySelector("table.sortable");
  if (!table) return;
  const body = table.tBodies[0];
  const said = document.getElementById("said");

  const valueOf = (row, place) => row.cells[place].dataset.value ?? row.cells[place].textContent;
  const compare = (a, b) => (isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b);

  const sortBy = (head) => {
    const place = head.cellIndex;
    const direction = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
    for (const one of table.tHead.rows[0].cells) one.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", direction);
    const sign = direction === "ascending" ? 1 : -1;
    const rows = [...body.rows].sort((a, b) => sign * compare(valueOf(a, place), valueOf(b, place)));
    body.append(...rows);
    said.textContent = `Sorted by ${head.textContent.trim()}, ${direction}.`;
  };

  for (const head of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sortBy(head));
    head.append(button);
  }

  const asCsv = () => [table.dataset.csv, ...[...body.rows].map((row) => row.dataset.csv)].join("\r\n") + "\r\n";

  const copyOldWay = (text) => {
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  };

  const copy = document.getElementById("copy");
  copy.hidden = false;
  copy.addEventListener("click", async () => {
    let done = true;
    try {
      await navigator.clipboard.writeText(asCsv());
    } catch {
      done = copyOldWay(asCsv());
      copy.focus();
    }
    said.textContent = done ? `Copied ${body.rows.length} rows as CSV.` : "The browser doesn't allow copying.";
  });
})();
